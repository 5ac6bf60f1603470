"""Optuna's samplers over a storage that several processes share."""

import os
import socket
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import keras_tuner
from keras_tuner.engine.trial import TrialStatus

from keras_strategies._internal import checks
from keras_strategies._internal.optional import require
from keras_strategies.tuning import _space, _studies
from keras_strategies.tuning._private import oracles as private
from keras_strategies.tuning._private.studies import running_trial
from keras_strategies.tuning._space import Trial
from keras_strategies.tuning._studies import SamplerName
from keras_strategies.tuning._studies import shared_trials as shared
from keras_strategies.tuning.oracles._base import Objective
from keras_strategies.tuning.oracles._search_state.shared_search import (
    SharedSearchOracle,
)
from keras_strategies.tuning.oracles._search_state.stored import locked
from keras_strategies.tuning.oracles._search_state.workers import MAX_ORPHANED

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial


class OptunaStorageOracle(SharedSearchOracle):
    """Optuna's samplers over a storage that several processes share, without a chief.

    Start the same script any number of times, on one machine or many, now or later:
    all processes with the same storage and study work on one search. `max_trials` is
    the total of all processes, no combination is tried twice, and `results()` returns
    the trials of all of them in each process. A killed process loses no trial: the
    others notice that its heartbeat has stopped and run its trial again.
    `Tuner(storage=...)` makes this oracle; weights stay in the folder of the search,
    which should be shared too.

    The trials are stored in the storage only, complete, so that tools such as
    optuna-dashboard can read it. Which process draws which values depends on their
    speed: a search of several processes is not reproducible, whatever the seed.

    Reference: Akiba et al., 2019, [Optuna](https://arxiv.org/abs/1907.10902).

    Args:
        objective: Name of a metric, `keras_tuner.Objective`, or a list of these.
            Defaults to `None`: a trial returns the number to minimize.
        storage: Path of a journal file (on a disk that all processes see), URL of a
            database such as `"postgresql://host/name"`, or a storage of Optuna.
            Needed: the default, `None`, is refused.
        sampler: `"tpe"`, `"gp"` (needs PyTorch), `"cmaes"`, `"nsga2"`, `"random"`, or
            a sampler of Optuna. Defaults to `"tpe"`.
        study_name: Name of the study in the storage. Defaults to `"search"`.
        max_trials: Maximum number of trials of all processes. Defaults to `10`.
        seed: Integer, or `None`. Defaults to `None`.
        hyperparameters: `keras_tuner.HyperParameters` to search, if known in advance.
            Defaults to `None`.
        allow_new_entries: Whether the model may declare further hyperparameters.
            Defaults to `True`.
        tune_new_entries: Whether these are searched. Defaults to `True`.
        max_retries_per_trial: Further attempts for a failed trial. Defaults to `0`.
        max_consecutive_failed_trials: Number of failures in a row that end the search,
            or `None` for no limit. Defaults to `None`.

    Raises:
        ImportError: If Optuna, or what the sampler needs, is missing (extra `tuning`).
        TypeError: If `storage` is neither a path, a URL nor a storage.
        ValueError: If the name of the sampler is not known, or the study has other
            objectives.

    Example:

    ```python
    import tempfile
    import keras_tuner
    from keras_strategies.tuning import OptunaStorageOracle

    space = keras_tuner.HyperParameters()
    space.Float("rate", 1e-4, 1e-1, sampling="log")
    journal = tempfile.mkdtemp() + "/journal.log"
    first, second = (
        OptunaStorageOracle("val_loss", journal, hyperparameters=space)
        for _ in range(2)
    )
    assert first.study.study_name == second.study.study_name
    ```
    """

    trials: dict[str, Trial]
    start_order: list[str]
    end_order: list[str]
    outside: set[str]

    def __init__(
        self,
        objective: Objective | None = None,
        storage: "str | os.PathLike[str] | optuna.storages.BaseStorage | None" = None,
        sampler: "SamplerName | optuna.samplers.BaseSampler" = "tpe",
        study_name: str = "search",
        max_trials: int | None = 10,
        seed: int | None = None,
        hyperparameters: keras_tuner.HyperParameters | None = None,
        allow_new_entries: bool = True,
        tune_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int | None = None,
    ) -> None:
        require("optuna", "`OptunaStorageOracle`")
        self._storage = _studies.open_storage(storage)
        self.study_name: str = study_name
        #: Seconds without a heartbeat after which a trial is run by another process.
        self.storage_timeout: float = 60
        self._monitor = shared.HeartbeatMonitor()
        self._heartbeat_count = 0
        self._finished_trials: dict[int, Trial] = {}  # by number: they do not change
        self._next_sync: float | None = None  # on the clock, while there is no slot
        super().__init__(
            objective,
            sampler,
            max_trials=max_trials,
            seed=seed,
            hyperparameters=hyperparameters,
            allow_new_entries=allow_new_entries,
            tune_new_entries=tune_new_entries,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
        )
        self._given_space = self.hyperparameters.copy()
        self._sync()

    def _create_study(self, salt: int = 0) -> "optuna.Study":
        sampler = self.sampler
        if isinstance(sampler, str):
            # Processes with the same draws would propose the same combinations.
            key = ("sampler", salt, socket.gethostname(), os.getpid())
            seed = int(self.probability(*key) * 2**31)
            sampler = _studies.make_sampler(
                sampler, seed, self.max_trials, parallel=True
            )
        study = _studies.create_study(
            sampler,
            self._directions(),
            storage=self._storage,
            study_name=self.study_name,
            load_if_exists=True,
        )
        directions = [direction.name.lower() for direction in study.directions]
        if directions != self._directions():
            checks.fail(
                "The study in the storage must have the same objectives",
                fix="Name another `project_name` (`study_name` of the oracle).",
                study=directions,
                objective=self._directions(),
            )
        return study

    # Reading the storage

    def _trial_id(self, number: int) -> str:
        return f"{number:0{len(str(self.max_trials or 1000))}d}"

    def _stored_trials(self) -> "list[FrozenTrial]":
        return self.study.get_trials(deepcopy=False)

    @locked
    def _sync(self) -> None:
        """Reads what all processes have written."""
        trials, finished = {}, []
        for frozen in self._stored_trials():
            trial_id = self._trial_id(frozen.number)
            if shared.is_finished(frozen):
                finished.append(frozen)
                trials[trial_id] = self._load_finished(trial_id, frozen)
            elif trial_id in self._running and trial_id in self.trials:
                trials[trial_id] = self.trials[trial_id]
            elif shared.is_running(frozen) and shared.CLAIMED in frozen.user_attrs:
                values = frozen.user_attrs[shared.CLAIMED]
                trials[trial_id] = self._new_trial(trial_id, values)
        finished.sort(key=lambda frozen: (frozen.datetime_complete, frozen.number))
        self.trials = trials
        self.start_order = list(trials)
        self.outside = {key for key, t in trials.items() if self._is_outside(t)}
        self.end_order = [self._trial_id(frozen.number) for frozen in finished]

    def _new_trial(self, trial_id: str, values: Mapping[str, Any]) -> Trial:
        space = self.hyperparameters.copy()
        space.values = dict(values)
        trial = Trial(space, trial_id=trial_id, status=TrialStatus.RUNNING)
        private.record_values(self, trial)
        return trial

    def _load_finished(self, trial_id: str, frozen: "FrozenTrial") -> Trial:
        if frozen.number in self._finished_trials:
            return self._finished_trials[frozen.number]
        record = frozen.user_attrs[shared.FINISHED]
        trial = _space.trial_from_state(record["trial"])
        self.update_space(trial.hyperparameters)
        private.record_values(self, trial)
        self.curves[trial_id] = {int(epoch): value for epoch, value in record["curve"]}
        if record["pruned"] is not None:
            self.pruned[trial_id] = record["pruned"]
        if record["seconds"] is not None:
            self.seconds[trial_id] = record["seconds"]
        self._finished_trials[frozen.number] = trial
        return trial

    # Proposals

    def _propose(self, tuner_id: str, trial_id: str) -> Trial:
        if self._next_sync is not None and self.clock() < self._next_sync:
            return self._no_trial(tuner_id, TrialStatus.IDLE)
        self._next_sync = None
        self._requeue_orphans()
        self._sync()
        stored = self._stored_trials()
        is_enqueued = any(not shared.is_running(t) for t in stored if shared.is_open(t))
        any_running = any(map(shared.is_running, stored))
        slots = sum(map(shared.counts_toward_max_trials, stored))
        is_full = bool(self.max_trials) and slots >= self.max_trials
        # The space is declared inside a trial: wait for the first one.
        is_undeclared = not self.hyperparameters.space and any_running
        if not is_enqueued and (is_full or is_undeclared):
            if not any_running:
                return self._no_trial(tuner_id, TrialStatus.STOPPED)
            # A trial under way may have to run again if its process dies.
            self._next_sync = self.clock() + min(0.5, self.storage_timeout / 4)
            return self._no_trial(tuner_id, TrialStatus.IDLE)
        start = time.perf_counter()
        proposal = self.populate_space(trial_id)
        if proposal["status"] != TrialStatus.RUNNING:
            status = TrialStatus.IDLE if any_running else proposal["status"]
            return self._no_trial(tuner_id, status)
        self.proposal_seconds.append(time.perf_counter() - start)
        trial_id = proposal["trial_id"]
        trial = self._new_trial(trial_id, proposal["values"])
        self.trials[trial_id] = trial
        self.start_order.append(trial_id)
        return self._start(tuner_id, trial)

    def _accepts(self, trial: "optuna.trial.Trial", values: dict[str, Any]) -> bool:
        if shared.RETRY not in trial.user_attrs:
            return super()._accepts(trial, values)
        # A retry repeats values on purpose; of several retries the first counts.
        stored = self._stored_trials()
        is_first = shared.is_first_retry(stored[trial.number], stored)
        if not is_first:
            shared.set_attribute(trial, shared.OVER_BUDGET, True)
        return is_first

    def _claim_enqueued(self, trial_id: str, values: dict[str, Any]) -> dict[str, Any]:
        # Another process may have got ours; then this is what that one enqueued.
        trial = self.study.ask()
        values = self._suggest(trial)
        if self._accepts(trial, values):
            return self._claim(trial_id, trial, values)
        shared.tell(self.study, trial, state=_studies.trial_state("FAIL"))
        return {"status": TrialStatus.IDLE, "values": None}

    def _claim(
        self, trial_id: str, trial: "optuna.trial.Trial", values: dict[str, Any]
    ) -> dict[str, Any]:
        shared.set_attribute(trial, shared.CLAIMED, shared.as_json(values))
        if shared.RETRY not in trial.user_attrs and not self._has_slot(trial.number):
            shared.set_attribute(trial, shared.OVER_BUDGET, True)
            shared.tell(self.study, trial, state=_studies.trial_state("FAIL"))
            # The next call looks whether there is another slot.
            return {"status": TrialStatus.IDLE, "values": None}
        trial_id = self._trial_id(trial.number)
        self._running[trial_id] = trial
        return {"status": TrialStatus.RUNNING, "values": values, "trial_id": trial_id}

    def _has_slot(self, number: int) -> bool:
        """Whether trial `number` is within `max_trials` and alone with its values.

        Slots go to the smaller numbers first. A smaller trial that has been asked but
        has not claimed yet may still take one: while that matters, this waits for its
        claim, or for its process to be found dead.
        """
        while True:
            stored = self._stored_trials()
            values = stored[number].user_attrs[shared.CLAIMED]
            claimed = [
                t
                for t in stored
                if shared.counts_toward_max_trials(t) and t.number != number
            ]
            if any(t.user_attrs[shared.CLAIMED] == values for t in claimed):
                return False
            if not self.max_trials:
                return True
            before = sum(t.number < number for t in claimed)
            undecided = sum(map(shared.may_claim_slot, stored[:number]))
            if before >= self.max_trials or before + undecided < self.max_trials:
                return before < self.max_trials
            time.sleep(0.02)
            self._requeue_orphans()

    # The end of trials

    def on_trial_finished(self, trial: Trial) -> None:
        """Writes the record of a trial to the storage."""
        import optuna

        try:
            super().on_trial_finished(trial)
        except optuna.exceptions.UpdateFinishedTrialError:
            return  # another process has taken it over meanwhile

    def _tell(
        self,
        live: "optuna.trial.Trial",
        trial: Trial,
        values: list[float] | None,
        state: str,
    ) -> None:
        trial_id = trial.trial_id
        record = {
            "trial": trial.get_state(),
            "curve": sorted(self.curves.get(trial_id, {}).items()),
            "pruned": self.pruned.get(trial_id),
            "seconds": self.seconds.get(trial_id),
            # To tell Optuna later if this process dies between the next two lines.
            "told": (values, state),
        }
        if shared.set_attribute(live, shared.FINISHED, shared.as_json(record)):
            shared.tell(self.study, live, values, _studies.trial_state(state))

    # Processes that died

    @locked
    def heartbeat(self, tuner_id: str) -> bool:
        """Counts up the heartbeat of the trials that this process runs."""
        self._heartbeat_count += 1
        for trial in list(self._running.values()):
            shared.set_attribute(trial, shared.HEARTBEAT, self._heartbeat_count)
        return super().heartbeat(tuner_id)

    def _requeue_orphans(self) -> None:
        """Enqueues the trials of processes without a heartbeat."""
        own = {trial.number for trial in self._running.values()}
        for frozen in self._stored_trials():
            if not shared.is_running(frozen) or frozen.number in own:
                continue
            if self._monitor.is_expired(frozen, self.clock(), self.storage_timeout):
                self._end_expired(frozen)
        for frozen in shared.orphans_without_retry(self._stored_trials()):
            self.study.enqueue_trial(
                frozen.params,
                user_attrs={
                    shared.RETRY: frozen.number,
                    shared.ORPHANED: frozen.user_attrs.get(shared.ORPHANED, 0) + 1,
                    shared.CLAIMED: frozen.user_attrs[shared.CLAIMED],
                },
            )

    def _end_expired(self, frozen: "FrozenTrial") -> None:
        """Ends the trial of a process that died; a claimed one becomes an orphan."""
        attrs = frozen.user_attrs
        if shared.FINISHED in attrs:  # its process died inside `_tell`
            values, state = attrs[shared.FINISHED]["told"]
            state = _studies.trial_state(state)
            shared.tell(self.study, frozen.number, values, state)
            return
        count = attrs.get(shared.ORPHANED, 0) + 1
        if shared.CLAIMED in attrs and count >= MAX_ORPHANED:
            trial_id = self._trial_id(frozen.number)
            trial = self._new_trial(trial_id, attrs[shared.CLAIMED])
            trial.status = TrialStatus.FAILED
            trial.message = f"The process was lost {count} times with this trial."
            self._tell(running_trial(self.study, frozen), trial, None, "FAIL")
            return
        shared.tell(self.study, frozen.number, state=_studies.trial_state("FAIL"))

    # The storage is the only record: there are no files of trials or of the oracle.

    def _write_trial(self, trial: Trial) -> None:
        """Writes no file."""

    def save(self) -> None:
        """Writes no file: everything is in the storage."""

    def reload(self) -> None:
        """Reads the storage."""
        self._sync()

    @locked
    def is_over(self) -> bool:
        """Returns whether no further trial will be proposed by any process."""
        self._sync()
        return super().is_over()
