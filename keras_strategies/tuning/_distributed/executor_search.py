"""Trials of a search through any executor: a pool, Dask's, one of Ray."""

import concurrent.futures
import time
import traceback
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, Future
from typing import Any

from keras_tuner.engine.trial import TrialStatus

from keras_strategies._internal import checks
from keras_strategies._internal.processes import executors
from keras_strategies.tuning import _space
from keras_strategies.tuning._distributed import processes
from keras_strategies.tuning._space import Trial


class ExecutorSearch:
    """Proposes trials here and runs them wherever an executor puts them.

    This process alone writes the folder; a trial is a call without a state, so that an
    executor which repeats a lost one, as Dask does, doubles nothing.

    Args:
        tuner: The tuner.
        executor: The executor.
        count: Number of trials at once; `None` for what the executor takes.
    """

    def __init__(self, tuner: Any, executor: Executor, count: int | None) -> None:
        self.tuner, self.executor, self.count = tuner, executor, count
        self._running: dict[Future[Any], tuple[str, Trial]] = {}

    def run(self, fit_args: Sequence[Any], fit_kwargs: Mapping[str, Any]) -> None:
        """Runs trials until the search ends.

        Raises:
            RuntimeError: If the executor died. Its trials run again when the search
                goes on.
        """
        payload = processes.pickled_job(self.tuner, fit_args, fit_kwargs)
        send = executors.digest_of(payload), executors.sent_once(self.executor, payload)
        alive = executors.Heartbeat(self.executor)
        try:
            while self._fill(send) or self._running:
                if not self._running:  # the search waits for a trial that is lost
                    time.sleep(0.1)
                    continue
                done, _ = concurrent.futures.wait(
                    self._running,
                    timeout=executors.HEARTBEAT,
                    return_when=concurrent.futures.FIRST_COMPLETED,
                )
                alive.check()
                for future in done:
                    self._finish(future)
        finally:
            for future in self._running:
                future.cancel()

    def _fill(self, send: tuple[Any, ...]) -> bool:
        """Submits trials; `False` if the search has no further one."""
        oracle = self.tuner.oracle
        count = self.count or executors.capacity_of(self.executor)
        busy = {tuner_id for tuner_id, _ in self._running.values()}
        for k in range(count):
            tuner_id = f"executor-{k}"
            if tuner_id in busy:
                continue
            trial = oracle.create_trial(tuner_id)
            if trial.status != TrialStatus.RUNNING:
                return trial.status == TrialStatus.IDLE
            self.tuner.on_trial_begin(trial)
            future = self.executor.submit(
                remote_trial, *send, trial.get_state(), oracle.seed
            )
            self._running[future] = tuner_id, trial
        return True

    def _finish(self, future: Future[Any]) -> None:
        tuner_id, trial = self._running.pop(future)
        try:
            result = future.result()
        except Exception as error:
            # A trial returns its errors: this is the executor or its transport.
            self._lose(tuner_id, trial, error)
            return
        self.tuner.finish_remote(trial, result)

    def _lose(self, tuner_id: str, trial: Trial, error: Exception) -> None:
        reason = f"{type(error).__name__}: {error}"
        self.tuner.oracle.drop_worker(tuner_id, reason)
        # A pool of the standard library is broken for good; a cluster goes on.
        if isinstance(error, concurrent.futures.BrokenExecutor):
            raise RuntimeError(
                checks.message(
                    "The executor must live until the search ends; a process of it "
                    "died, perhaps for lack of memory",
                    {"error": reason, "trial": trial.trial_id},
                    "Start the same search again to go on; its trials run again.",
                )
            ) from error


class LocalReports:
    """The oracle of a process that runs single trials: reports stay in it.

    Args:
        oracle: The oracle of the tuner in this process.
        trial: The trial.
    """

    def __init__(self, oracle: Any, trial: Trial) -> None:
        self._local = oracle
        self._trial = trial
        self.pruned: dict[str, int] = {}
        self.curve: dict[int, float] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._local, name)

    def report(self, trial_id: str, epoch: int, logs: Mapping[str, float]) -> str:
        if self._local.objective.has_value(logs):
            self.curve[epoch] = float(self._local.objective.get_value(logs))
        return "RUNNING"

    def get_trial(self, trial_id: str) -> Trial:
        return self._trial

    def update_trial(
        self, trial_id: str, metrics: Mapping[str, float], step: int = 0
    ) -> Trial:
        return self._local.add_metrics(self._trial, metrics, step)


def remote_trial(
    digest: str, payload: Any, state: Mapping[str, Any], seed: int
) -> dict[str, Any]:
    """Runs a trial in another process; its metrics, or its error as text."""
    job = executors.load(digest, payload)
    tuner = job.get("tuner")
    if tuner is None:
        job["tuner"] = tuner = job["cls"](*job["args"], **job["kwargs"])
        job["oracle"] = tuner.oracle
    job["oracle"].seed = seed
    trial = _space.trial_from_state(state)
    tuner.oracle = LocalReports(job["oracle"], trial)
    try:
        metrics, epoch = tuner.evaluate_remote(
            trial, *job["fit_args"], **job["fit_kwargs"]
        )
    except Exception as error:
        return {"error": traceback.format_exc(), "kind": type(error).__name__}
    return {
        "metrics": metrics,
        "epoch": epoch,
        "curve": sorted(tuner.oracle.curve.items()),
        "hyperparameters": trial.hyperparameters.get_config(),
    }
