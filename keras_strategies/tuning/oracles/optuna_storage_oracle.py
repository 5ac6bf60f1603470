"""Optuna's samplers over a storage that several processes share."""

import os
import socket
import time

from keras_tuner.engine.trial import Trial, TrialStatus

from keras_strategies._internal import checks
from keras_strategies._internal.optional import require
from keras_strategies.tuning._space.trials import trial_from
from keras_strategies.tuning._studies import shared_trials as shared
from keras_strategies.tuning._studies import studies as _studies
from keras_strategies.tuning.oracles._base import MAX_LOST
from keras_strategies.tuning.oracles._persistence import locked
from keras_strategies.tuning.oracles.optuna_oracle import OptunaOracle


class OptunaStorageOracle(OptunaOracle):
    """Optuna's samplers over a storage that several processes share, without a chief.

    Start the same script as often as you like, on one machine or many, now or later:
    all that name the same storage and study work on one search. `max_trials` holds for
    all of them together, nothing is tried twice, and each process finds the results of
    all in `results()`. A process that is killed loses nothing: the others notice that
    its sign of life has stopped and run its trial again. `Tuner(storage=...)` makes
    this oracle; weights stay in the folder of the search, which should be shared too.

    The trials are in the storage alone, with all that is needed to show them, so that
    tools such as optuna-dashboard can read it. Which process draws what depends on
    their speed: a search of several processes does not repeat, whatever the seed.

    Reference: Akiba et al., 2019, [Optuna](https://arxiv.org/abs/1907.10902).

    Args:
        objective: Name of a metric, `keras_tuner.Objective`, or a list of these.
        storage: Path of a journal file (on a disk that all processes see), URL of a
            database such as `"postgresql://host/name"`, or a storage of Optuna.
        sampler: `"tpe"` (default), `"gp"` (needs PyTorch), `"cmaes"`, `"nsga2"`,
            `"random"`, or a sampler of Optuna.
        study_name: Name of the study in the storage. Default `"search"`.
        max_trials: Trials of all processes at most. Default 10.
        seed: Integer, or `None` (default).
        hyperparameters: `keras_tuner.HyperParameters` to search, if known beforehand.
        allow_new_entries: Whether the model may ask for more. Default `True`.
        tune_new_entries: Whether these are searched too. Default `True`.
        max_retries_per_trial: Further attempts for a failed trial. Default 0.
        max_consecutive_failed_trials: Failures in a row that end the search, `None`
            (default) for no such end.

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
    one, other = (
        OptunaStorageOracle("val_loss", journal, hyperparameters=space)
        for _ in range(2)
    )
    assert one.study.study_name == other.study.study_name
    ```
    """

    shares_storage = True

    def __init__(
        self,
        objective=None,
        storage=None,
        sampler="tpe",
        study_name="search",
        max_trials=10,
        seed=None,
        hyperparameters=None,
        allow_new_entries=True,
        tune_new_entries=True,
        max_retries_per_trial=0,
        max_consecutive_failed_trials=None,
    ):
        require("optuna", "`OptunaStorageOracle`")
        self._storage = shared.open_storage(storage)
        self.study_name = study_name
        self.storage_lease = 60  # seconds without a sign of life
        self._patience = shared.Patience()
        self._beats = 0
        self._loaded = {}  # number of a trial that has ended -> Trial
        self._next_look = None
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
        self._sync()

    def _new_study(self, salt=0):
        sampler = self.sampler
        if isinstance(sampler, str):
            key = ("sampler", salt, socket.gethostname(), os.getpid())
            seed = int(self.probability(*key) * 2**31)
            sampler = _studies.sampler(sampler, seed, self.max_trials, parallel=True)
        study = _studies.study(
            sampler,
            self._directions(),
            storage=self._storage,
            study_name=self.study_name,
            load_if_exists=True,
        )
        known = [direction.name.lower() for direction in study.directions]
        if known != self._directions():
            checks.fail(
                "The study in the storage must have the same objectives",
                fix="Name another `project_name` (`study_name` of the oracle).",
                study=known,
                objective=self._directions(),
            )
        return study

    # What is in the storage

    def _trial_id(self, number):
        return f"{number:0{len(str(self.max_trials or 1000))}d}"

    def _all(self):
        return self.study.get_trials(deepcopy=False)

    @locked
    def _sync(self):
        """Takes over what the processes have written."""
        trials, ended = {}, []
        for frozen in self._all():
            trial_id = self._trial_id(frozen.number)
            if shared.is_ended(frozen):
                ended.append(frozen)
                trials[trial_id] = self._load(trial_id, frozen)
            elif trial_id in self._live and trial_id in self.trials:
                trials[trial_id] = self.trials[trial_id]
            elif shared.is_running(frozen) and shared.TAKEN in frozen.user_attrs:
                values = frozen.user_attrs[shared.TAKEN]
                trials[trial_id] = self._new_trial(trial_id, values)
        ended.sort(key=lambda frozen: (frozen.datetime_complete, frozen.number))
        self.trials = trials
        self.start_order = list(trials)
        self.end_order = [self._trial_id(frozen.number) for frozen in ended]

    def _new_trial(self, trial_id, values):
        space = self.hyperparameters.copy()
        space.values = dict(values)
        trial = Trial(space, trial_id=trial_id, status=TrialStatus.RUNNING)
        self._record_values(trial)
        return trial

    def _load(self, trial_id, frozen):
        if frozen.number in self._loaded:
            return self._loaded[frozen.number]
        found = frozen.user_attrs[shared.ENDED]
        trial = trial_from(found["trial"])
        self.update_space(trial.hyperparameters)
        self._record_values(trial)
        self._curves[trial_id] = {int(epoch): value for epoch, value in found["curve"]}
        if found["pruned"] is not None:
            self.pruned[trial_id] = found["pruned"]
        if found["seconds"] is not None:
            self.seconds[trial_id] = found["seconds"]
        self._loaded[frozen.number] = trial
        return trial

    # Proposals

    def _propose(self, tuner_id, trial_id):
        if self._next_look is not None and self.clock() < self._next_look:
            return self._no_trial(tuner_id, TrialStatus.IDLE)
        self._next_look = None
        self._run_lost_again()
        self._sync()
        found = self._all()
        queued = any(not shared.is_running(t) for t in found if shared.is_open(t))
        busy = any(map(shared.is_running, found))
        full = self.max_trials and sum(map(shared.is_place, found)) >= self.max_trials
        unknown = not self.hyperparameters.space and busy
        if not queued and (full or unknown):
            if not busy:
                return self._no_trial(tuner_id, TrialStatus.STOPPED)
            # A trial under way may still come back, should its process be lost.
            self._next_look = self.clock() + min(0.5, self.storage_lease / 4)
            return self._no_trial(tuner_id, TrialStatus.IDLE)
        start = time.perf_counter()
        proposal = self.populate_space(trial_id)
        if proposal["status"] != TrialStatus.RUNNING:
            status = TrialStatus.IDLE if busy else proposal["status"]
            return self._no_trial(tuner_id, status)
        self.proposal_seconds.append(time.perf_counter() - start)
        trial_id = proposal["trial_id"]
        trial = self._new_trial(trial_id, proposal["values"])
        self.trials[trial_id] = trial
        self.start_order.append(trial_id)
        return self._begin(tuner_id, trial)

    def _is_wanted(self, trial, values):
        if shared.RETRY not in trial.user_attrs:
            return super()._is_wanted(trial, values)
        found = self._all()
        first = shared.is_first_retry(found[trial.number], found)
        if not first:
            shared.mark(trial, shared.SURPLUS, True)
        return first

    def _take_queued(self, trial_id, values):
        # Another process may have taken it; then this is what that one queued.
        trial = self.study.ask()
        values = self._suggested(trial)
        if self._is_wanted(trial, values):
            return self._taken(trial_id, trial, values)
        shared.tell(self.study, trial, state=_studies.state("FAIL"))
        return {"status": TrialStatus.IDLE, "values": None}

    def _taken(self, trial_id, trial, values):
        shared.mark(trial, shared.TAKEN, shared.plain(values))
        if shared.RETRY not in trial.user_attrs and not self._holds_place(trial.number):
            shared.mark(trial, shared.SURPLUS, True)
            shared.tell(self.study, trial, state=_studies.state("FAIL"))
            # The next call looks whether there is another place.
            return {"status": TrialStatus.IDLE, "values": None}
        trial_id = self._trial_id(trial.number)
        self._live[trial_id] = trial
        return {"status": TrialStatus.RUNNING, "values": values, "trial_id": trial_id}

    def _holds_place(self, number):
        """Whether the places reach to trial `number` and no other has its values."""
        while True:
            found = self._all()
            values = found[number].user_attrs[shared.TAKEN]
            others = [t for t in found if shared.is_place(t) and t.number != number]
            if any(t.user_attrs[shared.TAKEN] == values for t in others):
                return False
            if not self.max_trials:
                return True
            before = sum(t.number < number for t in others)
            undecided = sum(map(shared.is_undecided, found[:number]))
            if before >= self.max_trials or before + undecided < self.max_trials:
                return before < self.max_trials
            time.sleep(0.02)
            self._run_lost_again()

    # The end of trials

    def ended(self, trial):
        import optuna

        try:
            super().ended(trial)
        except optuna.exceptions.UpdateFinishedTrialError:
            return  # another process has taken it over meanwhile

    def _tell(self, live, trial, values, state):
        trial_id = trial.trial_id
        record = {
            "trial": trial.get_state(),
            "curve": sorted(self._curves.get(trial_id, {}).items()),
            "pruned": self.pruned.get(trial_id),
            "seconds": self.seconds.get(trial_id),
            "told": (values, state),
        }
        if shared.mark(live, shared.ENDED, shared.plain(record)):
            shared.tell(self.study, live, values, _studies.state(state))

    # Processes that went away

    @locked
    def alive(self, tuner_id):
        self._beats += 1
        for trial in list(self._live.values()):
            shared.mark(trial, shared.ALIVE, self._beats)
        return super().alive(tuner_id)

    def _run_lost_again(self):
        """Puts the trials of processes without a sign of life into the queue."""
        mine = {trial.number for trial in self._live.values()}
        for frozen in self._all():
            if not shared.is_running(frozen) or frozen.number in mine:
                continue
            if self._patience.is_over(frozen, self.clock(), self.storage_lease):
                self._give_up(frozen)
        for frozen in shared.without_successor(self._all()):
            lost = frozen.user_attrs.get(shared.LOST, 0) + 1
            values = frozen.user_attrs[shared.TAKEN]
            self.study.enqueue_trial(
                frozen.params,
                user_attrs={
                    shared.RETRY: frozen.number,
                    shared.LOST: lost,
                    shared.TAKEN: values,
                },
            )

    def _give_up(self, frozen):
        attrs = frozen.user_attrs
        if shared.ENDED in attrs:  # killed between two lines of `_tell`
            values, state = attrs[shared.ENDED]["told"]
            shared.tell(self.study, frozen.number, values, _studies.state(state))
            return
        lost = attrs.get(shared.LOST, 0) + 1
        if shared.TAKEN in attrs and lost >= MAX_LOST:
            trial = self._new_trial(self._trial_id(frozen.number), attrs[shared.TAKEN])
            trial.status = TrialStatus.FAILED
            trial.message = f"The process was lost {lost} times with this trial."
            self._tell(self._handle(frozen), trial, None, "FAIL")
            return
        shared.tell(self.study, frozen.number, state=_studies.state("FAIL"))

    def _handle(self, frozen):
        import optuna

        return optuna.trial.Trial(self.study, frozen._trial_id)

    # The storage is the only record

    def _save_trial(self, trial):
        pass

    def save(self):
        pass

    def reload(self):
        self._sync()

    @locked
    def is_over(self):
        self._sync()
        return super().is_over()
