"""State of an oracle and its files: replaced in one step, reloaded completely."""

import functools
import os
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

from keras_strategies._internal.storage import checked_json
from keras_strategies.tuning import _space
from keras_strategies.tuning._private import hyperparameters as private_space
from keras_strategies.tuning._private import oracles as private
from keras_strategies.tuning._private.tuners import trial_folder
from keras_strategies.tuning._space import Trial
from keras_strategies.tuning.oracles._search_state import repair
from keras_strategies.tuning.oracles._search_state.display import SearchDisplay
from keras_strategies.tuning.pruners import Pruner

Method = TypeVar("Method", bound=Callable[..., Any])


def locked(method: Method) -> Method:
    """Lets one thread at a time call the methods of an oracle.

    In place of `keras_tuner.synchronized`, which keeps its lock after an exception.
    """

    @functools.wraps(method)
    def guarded(self, *args, **kwargs):
        with self._lock:
            return method(self, *args, **kwargs)

    return cast(Method, guarded)


class StoredOracle(private.OracleHooks):
    """The state that an oracle of this package has beside KerasTuner's, and its files.

    Attributes:
        algorithm: Name of the algorithm, if the oracle was made from one.
        pruner: The pruner, or `None`.
        clock: The clock of deadlines and heartbeats.
        deadline: Time on the clock after which no trial starts, or `None`.
        heartbeat_timeout: Seconds without a heartbeat after which a worker's trial is
            run by another one, or `None` if there are no workers.
        stop_reason: Why the search was ended early, or `None`.
        curves: `{trial id: {epoch: objective}}`.
        pruned: `{trial id: last epoch}` of the trials that were stopped early.
        seconds: `{trial id: duration}` of the trials that have ended.
        outside: Ids of the trials with a value outside the present space.
        superseded: Ids of the trials from before the model declared something new.
        proposal_seconds: Duration of each proposal.
    """

    hyperparameters: _space.Space
    trials: dict[str, Trial]
    ongoing_trials: dict[str, Trial]
    start_order: list[str]
    end_order: list[str]
    stop_reason: str | None

    def __init__(self, objective: Any = None, *args: Any, **kwargs: Any) -> None:
        seed, given = kwargs.get("seed"), kwargs.get("hyperparameters")
        # KerasTuner's default of 3 raises in the middle of a search.
        kwargs.setdefault("max_consecutive_failed_trials", None)
        super().__init__(objective, *args, **kwargs)
        self.hyperparameters = _space.Space.of(self.hyperparameters)
        if not getattr(given, "is_explored", False):
            self.hyperparameters.given = {hp.name for hp in self.hyperparameters.space}
        if seed is not None:  # KerasTuner takes 0 for None
            self.seed = seed
        private.reset_draws(self)
        private.set_display(self, SearchDisplay(self))
        self._lock = threading.RLock()
        self.algorithm: str | None = None
        self.pruner: Pruner | None = None
        self.clock: Callable[[], float] = time.monotonic
        self.deadline: float | None = None
        self.heartbeat_timeout: float | None = None
        self.stop_reason = None
        self.curves: dict[str, dict[int, float]] = {}
        self.pruned: dict[str, int] = {}
        self.seconds: dict[str, float] = {}
        self.outside: set[str] = set()
        self.superseded: set[str] = set()
        self.proposal_seconds: list[float] = []
        self._exhausted = False  # a worker was told that there is no further trial
        self._resumed_trials: dict[str, Trial] = {}  # tuner id -> trial
        self._start_times: dict[str, float] = {}  # trial id -> time.time()
        self._heartbeats: dict[str, float] = {}  # tuner id -> time on the clock
        self._times_orphaned: dict[str, int] = {}  # trial id -> workers that died
        self._digest_on_disk: str | None = None

    def trial_folder(self, trial_id: str) -> str:
        """Returns the folder of a trial, which is made if it does not exist."""
        return trial_folder(private.project_folder(self), trial_id)

    def _write_trial(self, trial: Trial) -> None:
        path = self._trial_path(trial.trial_id)
        checked_json.write(
            path, {**trial.get_state(), repair.RECORD: self._record(trial.trial_id)}
        )

    def _record(self, trial_id: str) -> dict[str, Any]:
        """What the file of a trial has beside the trial, to rebuild the oracle from."""
        order, ended = self.start_order, self.end_order
        curve = self.curves.get(trial_id)
        return {
            "started": order.index(trial_id) if trial_id in order else None,
            "ended": ended.index(trial_id) if trial_id in ended else None,
            "curve": None if curve is None else sorted(curve.items()),
            "pruned": self.pruned.get(trial_id),
            "seconds": self.seconds.get(trial_id),
        }

    def _state_path(self) -> str:
        return os.path.join(private.project_folder(self), "oracle.json")

    @locked
    def save(self) -> None:
        """Writes the state to the folder of the search."""
        self._digest_on_disk = checked_json.write(self._state_path(), self.get_state())

    def is_current(self) -> bool:
        """Returns whether no other process has written since the last save or load."""
        return checked_json.digest_of(self._state_path()) == self._digest_on_disk

    @locked
    def reload(self) -> None:
        """Reads the state from the folder; trials under way will run again.

        A damaged file of a trial costs that trial, which runs again; the state of the
        oracle is rebuilt from the trials.
        """
        self.trials, records = {}, {}
        path = self._state_path()
        state = repair.read_or_set_aside(
            path,
            "The search goes on from the files of its trials.",
            repair.ORACLE_KEYS,
        )
        self._digest_on_disk = checked_json.digest_of(path)
        listed = (state or {}).get("start_order", [])
        for trial_id, path in self._trial_files(listed).items():
            trial = repair.read_or_set_aside(
                path, f"Trial {trial_id} will run again.", repair.TRIAL_KEYS
            )
            if trial is not None:
                records[trial_id] = trial.pop(repair.RECORD, {})
                self.trials[trial_id] = _space.trial_from_state(trial)
        if state is None:
            self.set_state(repair.state_of_trials(records))
            self._rebuild()
        else:
            missing = set(listed) - self.trials.keys()
            self.set_state(repair.without_trials(state, missing))
        self._requeue_unfinished()
        self._resumed_trials, self.ongoing_trials = self.ongoing_trials, {}

    def _trial_files(self, listed: Iterable[str]) -> dict[str, str]:
        """`{trial id: path}` of those in the folder and those that are listed."""
        folder = private.project_folder(self)
        paths = {key: self._trial_path(key) for key in listed}
        return {**paths, **repair.trial_files(folder)}

    def _trial_path(self, trial_id: str) -> str:
        return os.path.join(self.trial_folder(trial_id), "trial.json")

    def _rebuild(self) -> None:
        """Completes the state after that of the oracle was lost; for subclasses too."""
        for trial in self.trials.values():
            new = [
                hp
                for hp in trial.hyperparameters.space
                if not private_space.is_declared(self.hyperparameters, hp)
            ]
            self.hyperparameters.merge(new)
            private.record_values(self, trial)

    def _requeue_unfinished(self) -> None:
        """What ran when the process ended runs again.

        A trial's file is written before the oracle's, so that there may be a trial the
        oracle does not list.
        """
        retries = private.retry_queue(self)
        for trial_id, trial in sorted(self.trials.items()):
            if trial_id not in self.start_order:
                self.start_order.append(trial_id)
                private.record_values(self, trial)
            if trial_id not in self.end_order and trial_id not in retries:
                trial.metrics = Trial(None).metrics
                retries.append(trial_id)

    # The keys are part of the stored format.

    def get_state(self) -> dict[str, Any]:
        """Returns the state as JSON values."""
        return {
            **super().get_state(),
            "algorithm": self.algorithm,
            "curves": {k: sorted(c.items()) for k, c in self.curves.items()},
            "pruned": self.pruned,
            "seconds": self.seconds,
            "lost": self._times_orphaned,
            "superseded": sorted(self.superseded),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Sets what `get_state` returned; a state of KerasTuner's oracles will do."""
        # `set_state` of KerasTuner's classes expects every key of their own.
        super().set_state({**self.get_state(), **state})
        self.hyperparameters = _space.Space.of(self.hyperparameters)
        curves = state.get("curves", {})
        # JSON has made the epochs, which are keys, a list of pairs.
        self.curves = {k: {int(e): v for e, v in c} for k, c in curves.items()}
        self.pruned = dict(state.get("pruned", {}))
        self.seconds = dict(state.get("seconds", {}))
        self._times_orphaned = dict(state.get("lost", {}))
        self.superseded = set(state.get("superseded", ()))
