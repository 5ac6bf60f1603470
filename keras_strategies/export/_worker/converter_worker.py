"""The process that converts: JSON lines on stdin and stdout, one at a time.

A request is `{"id", "command", "arguments", "timeout"}`, the reply `{"id",
"result", "held"}`, with the bytes of memory it holds, or `{"id", "error":
{"type", "message"}}`. It ends when stdin closes, when its parent is gone, and by
SIGALRM when a request outlives its time limit, so that nothing is left behind even if
the converter hangs.
"""

import importlib
import json
import math
import os
import signal
import sys
import threading
import time

import psutil


def _watch(parent):
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(0)


def _command(name):
    """Returns the function `"room.module.function"` of `keras_strategies.export`."""
    module, _, function = name.rpartition(".")
    module = importlib.import_module(f"keras_strategies.export.{module}")
    return getattr(module, function)


def _held():
    """Bytes of memory of this process.

    Not `ru_maxrss`: on Linux a new process starts with its parent's.
    """
    return psutil.Process().memory_info().rss


def _serve(requests, replies):
    for line in requests:
        request = json.loads(line)
        # The default action of SIGALRM ends the process whatever it is doing.
        signal.alarm(math.ceil(request["timeout"]) + 5)
        try:
            result = _command(request["command"])(**request["arguments"])
            reply = {"id": request["id"], "result": result, "held": _held()}
            reply = json.dumps(reply)
        except Exception as error:  # every failure becomes a reply
            text = {"type": type(error).__name__, "message": str(error)}
            reply = json.dumps({"id": request["id"], "error": text})
        finally:
            signal.alarm(0)
        replies.write(reply + "\n")
        replies.flush()


def main():
    parent = int(sys.argv[1])
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    # Whatever libraries print goes to stderr; replies have a stream of their own.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    import tensorflow  # noqa: F401  (the slow part, before the first request)

    replies.write(json.dumps({"ready": True}) + "\n")
    replies.flush()
    _serve(sys.stdin, replies)


if __name__ == "__main__":
    main()
