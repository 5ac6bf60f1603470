"""Optuna's samplers as an oracle of KerasTuner."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras_tuner
from keras_tuner.engine import hyperparameters as kinds
from keras_tuner.engine.trial import TrialStatus

from keras_strategies._internal import checks
from keras_strategies._internal.optional import require
from keras_strategies.tuning import _space, _studies
from keras_strategies.tuning._private import oracles as private
from keras_strategies.tuning._space import Trial
from keras_strategies.tuning._studies import SamplerName
from keras_strategies.tuning.oracles._base import Objective, OracleBase

if TYPE_CHECKING:
    import optuna


class OptunaOracle(OracleBase):
    """Optuna's samplers (TPE, Gaussian process, CMA-ES, NSGA-II) for KerasTuner.

    KerasTuner keeps the trials, the checkpoints and the folder; the values come from a
    study of Optuna, which is saved and resumed with the search. Conditional scopes
    are respected: a hyperparameter that is not active is not suggested. TPE takes any
    space; CMA-ES and the Gaussian process model what is always active and draw the
    rest at random; NSGA-II is for several objectives.

    Reference: Akiba et al., 2019, [Optuna](https://arxiv.org/abs/1907.10902).

    Args:
        objective: Name of a metric, `keras_tuner.Objective`, or a list of these.
            Defaults to `None`: a trial returns the number to minimize.
        sampler: `"tpe"`, `"gp"` (needs PyTorch), `"cmaes"`, `"nsga2"`, `"random"`, or
            a sampler of Optuna. Defaults to `"tpe"`.
        max_trials: Maximum number of trials. Defaults to `10`.
        seed: Integer, or `None` for a different search each time. Defaults to `None`.
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

    uses_history = True

    def __init__(
        self,
        objective: Objective | None = None,
        sampler: "SamplerName | optuna.samplers.BaseSampler" = "tpe",
        max_trials: int | None = 10,
        seed: int | None = None,
        hyperparameters: keras_tuner.HyperParameters | None = None,
        allow_new_entries: bool = True,
        tune_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int | None = None,
    ) -> None:
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
        self.sampler: SamplerName | optuna.samplers.BaseSampler = sampler
        # Trials under way, by the id of KerasTuner's trial.
        self._running: dict[str, optuna.trial.Trial] = {}
        self.study: optuna.Study = self._create_study()

    def _directions(self) -> list[str]:
        objectives = getattr(self.objective, "objectives", None) or [self.objective]
        return ["maximize" if o.direction == "max" else "minimize" for o in objectives]

    def _create_study(self, salt: int = 0) -> "optuna.Study":
        """Makes the study; `salt` changes the draws of its sampler."""
        sampler = self.sampler
        if isinstance(sampler, str):
            seed = int(self.probability("sampler", salt) * 2**31)
            sampler = _studies.make_sampler(sampler, seed, self.max_trials)
        return _studies.create_study(sampler, self._directions())

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        for _ in range(private.max_collisions(self)):
            trial = self.study.ask()
            values = self._suggest(trial)
            if self._accepts(trial, values):
                return self._claim(trial_id, trial, values)
            # Failed trials are not modelled, so that duplicates do no harm.
            self.study.tell(trial, state=_studies.trial_state("FAIL"))
        # The sampler repeats itself, or what the constraints forbid: a random
        # combination that is new, by the queue of the study, so that the study knows
        # its result.
        values = self._draw_untried()
        if values is None:
            return {"status": TrialStatus.STOPPED, "values": None}
        return self.propose_enqueued(trial_id, values)

    def propose_enqueued(self, trial_id: str, values: dict[str, Any]) -> dict[str, Any]:
        self.study.enqueue_trial(_studies.to_parameters(self.hyperparameters, values))
        return self._claim_enqueued(trial_id, values)

    def _claim_enqueued(self, trial_id: str, values: dict[str, Any]) -> dict[str, Any]:
        trial = self.study.ask()
        self._suggest(trial)
        return self._claim(trial_id, trial, values)

    def _accepts(self, trial: "optuna.trial.Trial", values: dict[str, Any]) -> bool:
        return not self.is_refused(values)

    def _claim(
        self, trial_id: str, trial: "optuna.trial.Trial", values: dict[str, Any]
    ) -> dict[str, Any]:
        trial.set_user_attr("trial_id", trial_id)
        self._running[trial_id] = trial
        return {"status": TrialStatus.RUNNING, "values": values}

    def _suggest(self, trial: "optuna.trial.Trial") -> dict[str, Any]:
        """Asks the sampler for the active hyperparameters, parents first."""

        def value_of(hp: Any) -> Any:
            if isinstance(hp, kinds.Fixed):
                return hp.value
            return _studies.suggest(trial, hp)

        with _studies.quiet_sampling():
            return _space.fill(self.hyperparameters.space, {}, value_of)

    def on_trial_finished(self, trial: Trial) -> None:
        """Tells the study how a trial ended."""
        super().on_trial_finished(trial)
        live = self._running.pop(trial.trial_id, None)
        if live is not None:
            self._tell(live, trial, *self._outcome(live, trial))
        elif trial.status == TrialStatus.COMPLETED:
            # The study was made anew for another space while it ran.
            self._add_unknown(trial)

    def _outcome(
        self, live: "optuna.trial.Trial", trial: Trial
    ) -> tuple[list[float] | None, str]:
        """The values and the state to tell the study."""
        if trial.status != TrialStatus.COMPLETED:
            return None, "FAIL"
        # Optuna knows pruning with one objective only.
        if trial.trial_id not in self.pruned or len(self._directions()) > 1:
            return self.objective_values(trial), "COMPLETE"
        for epoch, value in sorted(self.curves.get(trial.trial_id, {}).items()):
            live.report(value, epoch)
        return None, "PRUNED"

    def _tell(
        self,
        live: "optuna.trial.Trial",
        trial: Trial,
        values: list[float] | None,
        state: str,
    ) -> None:
        hyperparameters = trial.hyperparameters
        parameters = _studies.to_parameters(hyperparameters, hyperparameters.values)
        if state == "COMPLETE" and parameters.keys() != live.params.keys():
            # The model declared more during the trial. Samplers model what all trials
            # have in common, so the trial is told again with all its parameters.
            _studies.saved_trials.add_completed(
                self.study, hyperparameters, hyperparameters.values, values or []
            )
            values, state = None, "FAIL"
        self.study.tell(live, values, state=_studies.trial_state(state))

    def objective_values(self, trial: Trial) -> list[float]:
        """Returns the value of each objective of a completed trial."""
        objectives = getattr(self.objective, "objectives", None)
        if not objectives:
            return [trial.score]
        return [self.metric(trial, objective.name) for objective in objectives]

    def get_state(self) -> dict[str, Any]:
        """Returns the state, the trials of the study included, as JSON values."""
        return {**super().get_state(), "study": _studies.saved_trials.dump(self.study)}

    def set_state(self, state: dict[str, Any]) -> None:
        """Sets what `get_state` of this or of another oracle returned."""
        super().set_state(state)
        saved = state.get("study")
        # Another salt, so that the sampler does not repeat its first draws.
        self.study = self._create_study(salt=len(self.trials))
        self._running = {}
        if saved is None:  # searched with another algorithm so far
            self._add_completed(self.completed_trials())
        else:
            self._running = _studies.saved_trials.load(
                self.study, saved, set(self.end_order)
            )

    def on_space_changed(self) -> None:
        """Makes the study anew: Optuna refuses other choices under a name it has."""
        self.study = self._create_study(salt=len(self.trials))
        self._running = {}
        for values, results in self.history:
            self._add(values, results)
        self._add_completed(self.completed_trials())

    def _add_unknown(self, trial: Trial) -> None:
        """Adds a completed trial that the study does not have."""
        if trial.trial_id not in self.outside:
            self._add_completed([trial])

    def _add_completed(self, trials: Sequence[Trial]) -> None:
        for trial in trials:
            self._add(trial.hyperparameters.values, self.objective_values(trial))

    def _add(self, values: dict[str, Any], results: Sequence[float]) -> None:
        _studies.saved_trials.add_completed(
            self.study, self.hyperparameters, values, results
        )
