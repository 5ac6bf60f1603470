"""Processes that run trials: their job, their start, their end."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.optional import require
from keras_strategies._internal.processes.process_exit import signal_name

# Environment variables beside those of KerasTuner.
TOKEN = "KERAS_STRATEGIES_TOKEN"
PARENT = "KERAS_STRATEGIES_PARENT"
_WORKER = "keras_strategies.tuning._distributed.worker"
_TAIL = 3000  # bytes of a log that an error quotes


def write_job(
    path: str, tuner: Any, fit_args: Sequence[Any], fit_kwargs: Mapping[str, Any]
) -> None:
    """Writes what another process needs to make the same tuner and to call `fit`."""
    content = pickled_job(tuner, fit_args, fit_kwargs)
    with open(path, "wb") as file:
        file.write(content)


def pickled_job(
    tuner: Any, fit_args: Sequence[Any], fit_kwargs: Mapping[str, Any]
) -> bytes:
    """Returns what `write_job` writes."""
    cloudpickle = require("cloudpickle", "A search in other processes")
    cls, args, kwargs = tuner.recipe
    job = {
        "cls": cls,
        "args": args,
        # The worker joins the search that this process may just have begun anew.
        "kwargs": {**kwargs, "overwrite": False},
        "fit_args": fit_args,
        "fit_kwargs": fit_kwargs,
    }
    try:
        return cloudpickle.dumps(job)
    except Exception as error:
        raise TypeError(
            checks.message(
                "What another process shall run must be picklable",
                {"error": f"{type(error).__name__}: {error}"},
                "Give arrays instead of a dataset, or let `fit` of the hypermodel "
                "load the data.",
            )
        ) from error


def start(
    mode: str,
    job: str,
    log: str,
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Starts the worker process of a mode of `worker.py`.

    Args:
        mode: `"trial"` or `"search"`.
        job: File that `write_job` wrote.
        log: File to which its output is appended.
        arguments: Further arguments of the mode.
        environment: Further environment variables.
    """
    paths = [path for path in sys.path if path]
    env = {
        **os.environ,
        # The modules that the pickle names are found as in this process.
        "PYTHONPATH": os.pathsep.join([os.getcwd(), *paths]),
        "KERAS_BACKEND": keras.backend.backend(),
        PARENT: str(os.getpid()),
        # Several processes share a GPU: none may reserve all of its memory.
        "TF_FORCE_GPU_ALLOW_GROWTH": os.environ.get(
            "TF_FORCE_GPU_ALLOW_GROWTH", "true"
        ),
        "XLA_PYTHON_CLIENT_PREALLOCATE": os.environ.get(
            "XLA_PYTHON_CLIENT_PREALLOCATE", "false"
        ),
        **(environment or {}),
    }
    if mode == "trial":  # it belongs to the search of its parent alone
        for name in list(env):
            if name.startswith("KERASTUNER_"):
                del env[name]
    with open(log, "ab") as file:
        return subprocess.Popen(
            [sys.executable, "-m", _WORKER, mode, job, *arguments],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            # A group of its own, so that `stop` reaches what it has started.
            start_new_session=True,
        )


def stop(process: subprocess.Popen[bytes]) -> None:
    """Kills a process and what it has started."""
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            process.kill()
    process.wait()


def describe_exit(process: subprocess.Popen[bytes]) -> str:
    """How a process ended, in words."""
    code = process.returncode
    if code is not None and code < 0:
        return f"killed by {signal_name(code)}"
    return f"ended with exit code {code}"


def tail(log: str) -> str:
    """The end of a log file."""
    with open(log, "rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - _TAIL))
        return file.read().decode("utf-8", "replace").strip()


def read_json(path: str) -> Any:
    with open(path, encoding="utf-8") as file:
        return json.load(file)
