"""Other processes: what they are given, how they are started, why they ended."""

import json
import os
import signal
import subprocess
import sys

from keras_strategies._internal import checks
from keras_strategies._internal.optional import require
from keras_strategies._internal.signals import signal_name

_TAIL = 3000
_WORKER = "keras_strategies.tuning._distributed.worker"


def write_job(path, tuner, fit_args, fit_kwargs):
    """Writes what another process needs to build the tuner and call `fit`."""
    cloudpickle = require("cloudpickle", "A search in other processes")
    cls, args, kwargs = tuner.recipe
    job = {
        "cls": cls,
        "args": args,
        "kwargs": {**kwargs, "overwrite": False},
        "fit_args": fit_args,
        "fit_kwargs": fit_kwargs,
    }
    try:
        text = cloudpickle.dumps(job)
    except Exception as error:
        raise TypeError(
            checks.message(
                "What another process shall run must be picklable",
                {"error": f"{type(error).__name__}: {error}"},
                "Give arrays instead of a dataset, or let `fit` of the hypermodel "
                "load the data.",
            )
        ) from error
    with open(path, "wb") as file:
        file.write(text)


def start(mode, job, log, extra=(), environment=None):
    """Starts `_worker.py`; its output goes to the file `log`."""
    import keras

    paths = [path for path in sys.path if path]
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([os.getcwd(), *paths]),
        "KERAS_BACKEND": keras.backend.backend(),
        "KERAS_STRATEGIES_PARENT": str(os.getpid()),
        # Several processes on one GPU: none takes all of it at the start.
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
    command = [sys.executable, "-m", _WORKER, mode, job]
    with open(log, "ab") as file:
        return subprocess.Popen(
            [*command, *extra],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def stop(process):
    """Kills a process and what it has started."""
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            process.kill()
    process.wait()


def ending(process):
    """How a process that is no more has ended, in words."""
    code = process.returncode
    if code is not None and code < 0:
        return f"killed by {signal_name(code)}"
    return f"ended with exit code {code}"


def tail(log):
    with open(log, "rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - _TAIL))
        return file.read().decode("utf-8", "replace").strip()


def read_json(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)
