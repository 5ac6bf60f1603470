"""Process that converts: JSON lines on stdin and stdout, one request at a time.

A request is `{"id", "command", "arguments", "time_limit"}`, the reply `{"id",
"result", "memory"}`, with the bytes of memory in use, or `{"id", "error":
{"type", "message"}}`. The process ends when stdin closes, when its parent is gone,
and by SIGALRM when a request exceeds its time limit, so that nothing stays behind
even if the converter hangs.
"""

import importlib
import json
import math
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, TextIO

import psutil

# Seconds that the parent has to end the process in its own way.
_GRACE_PERIOD = 5


def _exit_with_parent(parent: int, workspace: str) -> None:
    # A process whose parent died is adopted by another one.
    while os.getppid() == parent:
        time.sleep(1.0)
    # The parent had no time to remove its files, such as SavedModels.
    shutil.rmtree(workspace, ignore_errors=True)
    os._exit(0)


def _find_command(name: str) -> Callable[..., Any]:
    """Returns the function `"room.module.function"` of `keras_strategies.export`."""
    module_name, _, function = name.rpartition(".")
    module = importlib.import_module(f"keras_strategies.export.{module_name}")
    return getattr(module, function)


def _memory_in_use() -> int:
    """Bytes of memory of this process.

    Not `ru_maxrss`: on Linux a new process starts with its parent's.
    """
    return psutil.Process().memory_info().rss


def _serve(requests: Iterable[str], replies: TextIO) -> None:
    for line in requests:
        request = json.loads(line)
        # The default action of SIGALRM ends the process whatever it is doing.
        signal.alarm(math.ceil(request["time_limit"]) + _GRACE_PERIOD)
        try:
            result = _find_command(request["command"])(**request["arguments"])
            reply = {"id": request["id"], "result": result, "memory": _memory_in_use()}
            text = json.dumps(reply)
        except Exception as error:  # every failure becomes a reply
            failure = {"type": type(error).__name__, "message": str(error)}
            text = json.dumps({"id": request["id"], "error": failure})
        finally:
            signal.alarm(0)
        replies.write(text + "\n")
        replies.flush()


def main() -> None:
    """Serves requests until stdin closes."""
    parent, workspace = int(sys.argv[1]), sys.argv[2]
    watch = threading.Thread(
        target=_exit_with_parent, args=(parent, workspace), daemon=True
    )
    watch.start()
    # Whatever libraries print goes to stderr; replies have a stream of their own.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    # The slow part, before the first request.
    import keras  # noqa: F401
    import tensorflow  # noqa: F401

    # Modules of the user's, with custom classes; see `environment.LAST_FOLDER`.
    folder = os.environ.get("KERAS_STRATEGIES_LAST_FOLDER")
    if folder and folder not in sys.path:
        sys.path.append(folder)

    # By name: this process is an entry point and stands above what it serves.
    importlib.import_module("keras_strategies.export")

    replies.write(json.dumps({"ready": True}) + "\n")
    replies.flush()
    _serve(sys.stdin, replies)
    # An ending parent closes our stdin first: then there is still its workspace.
    watch.join(timeout=10.0)


if __name__ == "__main__":
    main()
