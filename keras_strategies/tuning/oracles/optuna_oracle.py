"""Optuna's samplers behind KerasTuner's search."""

import keras_tuner
from keras_tuner.engine import hyperparameters as kinds
from keras_tuner.engine.trial import TrialStatus

from keras_strategies._internal import checks
from keras_strategies._internal.optional import require
from keras_strategies.tuning._space import space as _space
from keras_strategies.tuning._studies import studies as _studies
from keras_strategies.tuning.oracles._base import RepairedOracle


class OptunaOracle(RepairedOracle, keras_tuner.Oracle):
    """Optuna's samplers (TPE, Gaussian process, CMA-ES, NSGA-II) for KerasTuner.

    KerasTuner keeps the trials, the checkpoints and the folder; the values come from a
    study of Optuna, which is saved and resumed with the search. Conditional scopes
    are kept: what is not active is not suggested. TPE takes any space; CMA-ES and the
    Gaussian process model what is always active and draw the rest at random; NSGA-II
    is for several objectives.

    Reference: Akiba et al., 2019, [Optuna](https://arxiv.org/abs/1907.10902).

    Args:
        objective: Name of a metric, `keras_tuner.Objective`, or a list of these.
        sampler: `"tpe"` (default), `"gp"` (needs PyTorch), `"cmaes"`, `"nsga2"`,
            `"random"`, or a sampler of Optuna.
        max_trials: Trials at most. Default 10.
        seed: Integer, or `None` (default) for a different search each time.
        hyperparameters: `keras_tuner.HyperParameters` to search, if known beforehand.
        allow_new_entries: Whether the model may ask for more. Default `True`.
        tune_new_entries: Whether these are searched too. Default `True`.
        max_retries_per_trial: Further attempts for a failed trial. Default 0.
        max_consecutive_failed_trials: Failures in a row that end the search, `None`
            (default) for no such end.

    Raises:
        ImportError: If Optuna, or what the sampler needs, is missing (extra `tuning`).
        ValueError: If the name of the sampler is not known.

    Example:

    ```python
    import keras_tuner
    from keras_strategies.tuning import OptunaOracle

    space = keras_tuner.HyperParameters()
    space.Float("rate", 1e-4, 1e-1, sampling="log")
    oracle = OptunaOracle("val_loss", "tpe", seed=1, hyperparameters=space)
    assert 1e-4 <= oracle.populate_space("0")["values"]["rate"] <= 1e-1
    ```
    """

    def __init__(
        self,
        objective=None,
        sampler="tpe",
        max_trials=10,
        seed=None,
        hyperparameters=None,
        allow_new_entries=True,
        tune_new_entries=True,
        max_retries_per_trial=0,
        max_consecutive_failed_trials=None,
    ):
        require("optuna", "`OptunaOracle`")
        super().__init__(
            objective,
            max_trials=max_trials,
            seed=seed,
            hyperparameters=hyperparameters,
            allow_new_entries=allow_new_entries,
            tune_new_entries=tune_new_entries,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
        )
        if isinstance(sampler, str):
            checks.choice("sampler", sampler, _studies.SAMPLERS)
        self.sampler = sampler
        self._live = {}  # trial id -> Optuna's trial
        self.study = self._new_study()

    def _directions(self):
        objectives = getattr(self.objective, "objectives", None) or [self.objective]
        return ["maximize" if o.direction == "max" else "minimize" for o in objectives]

    def _new_study(self, salt=0):
        sampler = self.sampler
        if isinstance(sampler, str):
            seed = int(self.probability("sampler", salt) * 2**31)
            sampler = _studies.sampler(sampler, seed, self.max_trials)
        return _studies.study(sampler, self._directions())

    def populate_space(self, trial_id):
        for _ in range(self._max_collisions):
            trial = self.study.ask()
            values = self._suggested(trial)
            if self._is_wanted(trial, values):
                return self._taken(trial_id, trial, values)
            self.study.tell(trial, state=_studies.state("FAIL"))
        values = self._random_values()
        if values is None:
            return {"status": TrialStatus.STOPPED, "values": None}
        self.study.enqueue_trial(_studies.parameters(self.hyperparameters, values))
        return self._take_queued(trial_id, values)

    def _take_queued(self, trial_id, values):
        trial = self.study.ask()
        self._suggested(trial)
        return self._taken(trial_id, trial, values)

    def _is_wanted(self, trial, values):
        return not self._duplicate(values)

    def _taken(self, trial_id, trial, values):
        trial.set_user_attr("trial_id", trial_id)
        self._live[trial_id] = trial
        return {"status": TrialStatus.RUNNING, "values": values}

    def _suggested(self, trial):
        def value_of(hp):
            if isinstance(hp, kinds.Fixed):
                return hp.value
            return _studies.value(hp, _studies.suggest(trial, hp))

        with _studies.quiet_sampling():
            return _space.fill(self.hyperparameters.space, {}, value_of)

    def ended(self, trial):
        super().ended(trial)
        live = self._live.pop(trial.trial_id, None)
        if live is None:
            return
        self._tell(live, trial, *self._outcome(live, trial))

    def _outcome(self, live, trial):
        """The values and the state that the study is told."""
        if trial.status != TrialStatus.COMPLETED:
            return None, "FAIL"
        if trial.trial_id not in self.pruned or len(self._directions()) > 1:
            return self.objective_values(trial), "COMPLETE"
        for epoch, value in sorted(self._curves.get(trial.trial_id, {}).items()):
            live.report(value, epoch)
        return None, "PRUNED"

    def _tell(self, live, trial, values, state):
        found = trial.hyperparameters
        known = _studies.parameters(found, found.values)
        if state == "COMPLETE" and known.keys() != live.params.keys():
            # The model declared more during the trial: a sampler that looks at what
            # all trials have would find nothing.
            _studies.adopt(self.study, found, found.values, values)
            values, state = None, "FAIL"
        self.study.tell(live, values, state=_studies.state(state))

    def objective_values(self, trial):
        """The value of each objective of a completed trial."""
        objectives = getattr(self.objective, "objectives", None)
        if not objectives:
            return [trial.score]
        return [self.metric(trial, objective.name) for objective in objectives]

    def get_state(self):
        return {**super().get_state(), "study": _studies.dump(self.study)}

    def set_state(self, state):
        super().set_state(state)
        saved = state.get("study")
        # Another salt, so that the sampler does not repeat its first draws.
        self.study = self._new_study(salt=len(self.trials))
        self._live = {}
        if saved is None:  # searched with another algorithm so far
            self._adopt_all()
        else:
            self._live = _studies.load(self.study, saved, set(self.end_order))

    def _adopt_all(self):
        for trial in self.finished():
            values = trial.hyperparameters.values
            _studies.adopt(
                self.study, self.hyperparameters, values, self.objective_values(trial)
            )
