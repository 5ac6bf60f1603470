"""Trials in processes of their own, which can crash, hang or leak without harm."""

import contextlib
import os
import secrets
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Any

from keras_tuner import errors

from keras_strategies._internal.storage.files import write_json
from keras_strategies.tuning import _space
from keras_strategies.tuning._distributed import processes, rpc
from keras_strategies.tuning._space import Trial

# Seconds to load Keras and the data, and to end after the result is written: neither
# counts as time of the trial.
_START_TIMEOUT, _EXIT_TIMEOUT = 600, 60


def _wait_for_file(process: subprocess.Popen[bytes], path: str, timeout: float) -> bool:
    """Waits for a file or for the end of a process; `False` after the timeout."""
    deadline = time.monotonic() + timeout
    while process.poll() is None and not os.path.exists(path):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


class IsolatedTrials:
    """Runs trials in processes, one after the other, as a context.

    Args:
        tuner: The tuner.
        fit_args: Positional arguments of `search`.
        fit_kwargs: Keyword arguments of `search`.
    """

    def __init__(
        self, tuner: Any, fit_args: Sequence[Any], fit_kwargs: Mapping[str, Any]
    ) -> None:
        self.tuner, self.fit_args, self.fit_kwargs = tuner, fit_args, fit_kwargs

    def __enter__(self) -> "IsolatedTrials":
        with contextlib.ExitStack() as stack:
            folder = tempfile.TemporaryDirectory(prefix="trials-")
            self._folder = stack.enter_context(folder)
            self._job = os.path.join(self._folder, "job")
            processes.write_job(self._job, self.tuner, self.fit_args, self.fit_kwargs)
            # Only now: an error above removes the folder.
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *details: object) -> None:
        self._stack.close()

    def run(self, trial: Trial) -> tuple[dict[str, float], int]:
        """Returns the metrics and best epoch of `trial`, or raises how it failed."""
        tuner = self.tuner
        request, started, result, log = (
            os.path.join(self._folder, f"{trial.trial_id}.{kind}")
            for kind in ("request", "started", "result", "log")
        )
        for path in (started, result):  # of an earlier attempt
            if os.path.exists(path):
                os.remove(path)
        token = secrets.token_hex(16)
        # The process of a trial has nothing to do with the other trials.
        methods = ("report", "get_trial", "update_trial")
        with rpc.OracleServer(tuner.oracle, token=token, methods=methods) as server:
            write_json(
                request,
                {
                    "trial": trial.get_state(),
                    "port": server.port,
                    "seed": tuner.oracle.seed,
                    "memory": tuner.trial_memory_limit,
                },
            )
            process = processes.start(
                "trial",
                self._job,
                log,
                (request, started, result),
                {processes.TOKEN: token},
            )
            self._wait(process, started, result)
        if not os.path.exists(result):
            raise errors.FailedTrialError(
                f"The process of the trial was {processes.describe_exit(process)}.\n"
                f"{processes.tail(log)}"
            )
        return outcome(trial, processes.read_json(result))

    def _wait(
        self, process: subprocess.Popen[bytes], started: str, result: str
    ) -> None:
        limit = self.tuner.trial_time_limit
        try:
            if limit is None:
                process.wait()
                return
            # A trial with a long limit may well load data for long.
            start_timeout = max(_START_TIMEOUT, limit)
            if not _wait_for_file(process, started, start_timeout):
                raise errors.FailedTrialError(
                    f"The process of the trial did not start in {start_timeout:g} s."
                )
            if not _wait_for_file(process, result, limit):
                raise errors.FailedTrialError(
                    f"The trial ran longer than `trial_time_limit` ({limit:g} s)."
                )
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_EXIT_TIMEOUT)
        finally:
            processes.stop(process)


class TrialError(Exception):
    """What the process of a trial raised, with its traceback as text."""


def outcome(trial: Trial, result: Mapping[str, Any]) -> tuple[dict[str, float], int]:
    """Returns metrics and best epoch of another process, or raises its error."""
    if "error" in result:
        # KerasTuner's errors decide whether the search ends or a trial runs again.
        kind = getattr(errors, result["kind"], None)
        if kind is not None:
            raise kind(result["error"])
        raise TrialError(result["error"])
    space = _space.Space.from_config(result["hyperparameters"])
    trial.hyperparameters = space
    return result["metrics"], result["epoch"]
