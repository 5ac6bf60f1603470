"""Processes for one run of an untrusted or timed `.tflite` file.

LiteRT verifies the structure of a file but not the arguments of its operations, so
damaged bytes can crash or hang the interpreter: they run in a process of their own.
"""

import json
import pathlib
import signal
import subprocess
import sys
import tempfile
from typing import Any

from keras_strategies._internal.processes.process_exit import signal_name
from keras_strategies.export._common import ExportError, named_arrays
from keras_strategies.export._worker.environment import subprocess_environment

PROBE_TIME_LIMIT = 120.0
_SCRIPT = pathlib.Path(__file__).with_name("sandbox_main.py")


def probe(content: bytes, path: str) -> dict[str, Any]:
    """Opens and runs the file once; returns `{"opened", "ran", "error"}`."""
    return _run(content, path, "opening", PROBE_TIME_LIMIT, command="probe")


def benchmark(
    content: bytes, path: str, time_limit: float, **arguments: Any
) -> dict[str, Any]:
    """Returns the figures of `sandbox_main.benchmark`."""
    return _run(content, path, "timing", time_limit, command="benchmark", **arguments)


def run_in_arena(content: bytes, path: str, size: int) -> dict[str, Any]:
    """Returns the figures of `sandbox_main.run_in_arena`."""
    return _run(
        content, path, "running", PROBE_TIME_LIMIT, command="run_in_arena", size=size
    )


def _run(content, path, action, time_limit, feed=None, **arguments):
    with tempfile.TemporaryDirectory(prefix="keras_strategies_") as folder:
        # A copy: the file itself may have changed since its bytes were read.
        copy = pathlib.Path(folder, "model.tflite")
        copy.write_bytes(content)
        arguments["path"] = str(copy)
        if feed is not None:
            arguments["feed"] = str(pathlib.Path(folder, "feed.npz"))
            named_arrays.save(arguments["feed"], feed)
        try:
            process = subprocess.run(
                [sys.executable, "-P", str(_SCRIPT), json.dumps(arguments)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env=subprocess_environment(),
                timeout=time_limit,
            )
        except subprocess.TimeoutExpired as error:
            raise ExportError(
                f"{action.capitalize()} '{path}' took longer than {time_limit:g} s "
                "and was ended.",
                "load" if action == "opening" else "timeout",
                {"time_limit": time_limit},
            ) from error
    if process.returncode == 0:
        return json.loads(process.stdout)
    raise _failure(process, path, action)


def _failure(process, path, action):
    stderr = process.stderr.decode(errors="replace").strip()
    details = {"returncode": process.returncode, "stderr": stderr[-2000:]}
    if _is_out_of_memory(process.returncode, stderr):
        return ExportError(
            f"The process was ended while {action} '{path}', most likely as it took "
            "the last of the memory: nothing is known about the file. Use a machine "
            "with more, close other programs, or give smaller inputs.",
            "crash",
            details,
        )
    if process.returncode < 0:
        name = signal_name(process.returncode)
        return ExportError(
            f"'{path}' crashes the LiteRT interpreter ({name} while {action} it): "
            "the file is damaged.",
            "load",
            details,
        )
    lines = stderr.splitlines()
    cause = lines[-1] if lines else f"exit code {process.returncode}"
    return ExportError(
        f"{action.capitalize()} '{path}' failed: {cause}", "run", details
    )


def _is_out_of_memory(returncode, stderr):
    """Whether the system (SIGKILL) or the allocator ended the process for memory."""
    texts = ("bad_alloc", "MemoryError", "Cannot allocate memory", "out of memory")
    return returncode == -signal.SIGKILL or (
        returncode != 0 and any(text in stderr for text in texts)
    )
