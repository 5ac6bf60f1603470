"""A trial in a process of its own: it can crash, hang or leak without harm."""

import contextlib
import os
import secrets
import subprocess
import tempfile
import time

from keras_tuner import errors

from keras_strategies._internal.files import write_json
from keras_strategies.tuning._distributed import processes as _processes
from keras_strategies.tuning._distributed import rpc as _channel
from keras_strategies.tuning._space import space as _space

# Seconds to load Keras and the data, and to end after the result is written: no trial
# pays for these.
_START, _END = 600, 60


def _ended_before(process, path, seconds):
    """Waits for the end of a process or for a file; `False` if neither came in time."""
    until = time.monotonic() + seconds
    while process.poll() is None and not os.path.exists(path):
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


class Isolated:
    """Runs trials in processes, one after the other, as a context."""

    def __init__(self, tuner, fit_args, fit_kwargs):
        self.tuner, self.fit_args, self.fit_kwargs = tuner, fit_args, fit_kwargs

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            folder = tempfile.TemporaryDirectory(prefix="trials-")
            self._folder = stack.enter_context(folder)
            self._job = os.path.join(self._folder, "job")
            _processes.write_job(self._job, self.tuner, self.fit_args, self.fit_kwargs)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *details):
        self._stack.close()

    def run(self, trial):
        """Returns the metrics and best epoch of `trial`, or raises how it failed."""
        tuner = self.tuner
        given, begun, found, log = (
            os.path.join(self._folder, f"{trial.trial_id}.{kind}")
            for kind in ("given", "begun", "found", "log")
        )
        for path in (begun, found):  # of an earlier attempt
            if os.path.exists(path):
                os.remove(path)
        token = secrets.token_hex(16)
        with _channel.Server(tuner.oracle, token=token, methods=("report",)) as server:
            write_json(
                given,
                {
                    "trial": trial.get_state(),
                    "port": server.port,
                    "seed": tuner.oracle.seed,
                    "memory": tuner.trial_memory_limit,
                },
            )
            process = _processes.start(
                "trial",
                self._job,
                log,
                (given, begun, found),
                {"KERAS_STRATEGIES_TOKEN": token},
            )
            self._wait(process, begun, found)
        if not os.path.exists(found):
            raise errors.FailedTrialError(
                f"The process of the trial was {_processes.ending(process)}.\n"
                f"{_processes.tail(log)}"
            )
        return self._outcome(trial, _processes.read_json(found))

    def _wait(self, process, begun, found):
        limit = self.tuner.trial_time_limit
        try:
            if limit is None:
                process.wait()
                return
            start = max(_START, limit)
            if not _ended_before(process, begun, start):
                raise errors.FailedTrialError(
                    f"The process of the trial did not start in {start:g} s."
                )
            if not _ended_before(process, found, limit):
                raise errors.FailedTrialError(
                    f"The trial ran longer than `trial_time_limit` ({limit:g} s)."
                )
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_END)
        finally:
            _processes.stop(process)

    def _outcome(self, trial, found):
        if "error" in found:
            kind = getattr(errors, found["kind"], None)
            if kind is not None:
                raise kind(found["error"])
            raise TrialError(found["error"])
        trial.hyperparameters = _space.Space.from_config(found["hyperparameters"])
        return found["metrics"], found["epoch"]


class TrialError(Exception):
    """What the process of a trial raised, with its traceback as text."""
