"""Population based training."""

from collections.abc import Sequence
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import TrialStatus

from keras_strategies._internal import checks
from keras_strategies.tuning import _space
from keras_strategies.tuning._space import Trial
from keras_strategies.tuning.oracles._base import Objective, OracleBase
from keras_strategies.tuning.oracles._search_state.requests import own_values


class PopulationBasedTrainingOracle(OracleBase):
    """Population based training: hyperparameters change while the models train.

    For what should change during a training, such as a learning rate, a dropout rate
    or the strength of an augmentation: the best trial is not a combination but a
    schedule, found in the time of a few trainings. A population of models trains for
    `interval` epochs; then each of the worst takes the weights and the values of one of
    the best, with its values changed, and all train on. A trial is one model in one
    generation; its weights are those of its last epoch.

    A value that changes the shapes of weights cannot change on the way: name it in
    `inherited`, and a member keeps that of the one whose weights it takes. State of the
    optimizer is passed on, its learning rate is that of the trial.

    Reference: Jaderberg et al., 2017,
    [Population Based Training](https://arxiv.org/abs/1711.09846).

    Args:
        objective: Name of a metric, `keras_tuner.Objective`, or a list of these.
            Defaults to `None`: a trial returns the number to minimize.
        population_size: Number of models, at least 2. Defaults to `8`.
        generations: How often all of them train for `interval` epochs, at least 1.
            Defaults to `10`.
        interval: Number of epochs between exchanges, at least 1. Defaults to `1`.
        quantile: Fraction of the population that is replaced, and of that it is
            replaced by, in (0, 0.5]. Defaults to `0.25`.
        resample_probability: Probability with which a value is drawn anew instead of
            being multiplied by 0.8 or 1.2, in [0, 1]. Defaults to `0.25`.
        inherited: Names of values that go with the weights. Defaults to `()`.
        max_trials: Maximum number of trials, or `None` for all generations. Defaults
            to `None`.
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
        ValueError: If a number is outside its range.
        TypeError: If an argument has the wrong type.

    Example:

    ```python
    import keras_tuner
    from keras_strategies.tuning import PopulationBasedTrainingOracle

    space = keras_tuner.HyperParameters()
    space.Float("rate", 1e-4, 1e-1, sampling="log")
    oracle = PopulationBasedTrainingOracle(
        "val_loss", population_size=4, seed=1, hyperparameters=space
    )
    changed = oracle.perturbed({"rate": 1e-2}, "0")
    assert changed["rate"] != 1e-2
    ```
    """

    #: Trials go on from the last epoch of another trial, not from its best.
    continues_from_last: bool = True

    def __init__(
        self,
        objective: Objective | None = None,
        population_size: int = 8,
        generations: int = 10,
        interval: int = 1,
        quantile: float = 0.25,
        resample_probability: float = 0.25,
        inherited: Sequence[str] = (),
        max_trials: int | None = None,
        seed: int | None = None,
        hyperparameters: keras_tuner.HyperParameters | None = None,
        allow_new_entries: bool = True,
        tune_new_entries: bool = True,
        max_retries_per_trial: int = 0,
        max_consecutive_failed_trials: int | None = None,
    ) -> None:
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
        self.population_size: int = checks.integer(
            "population_size", population_size, low=2
        )
        self.generations: int = checks.integer("generations", generations, low=1)
        self.interval: int = checks.integer("interval", interval, low=1)
        self.quantile: float = checks.real(
            "quantile", quantile, low=0, high=0.5, low_open=True
        )
        self.resample_probability: float = checks.real(
            "resample_probability", resample_probability, low=0, high=1
        )
        self.inherited: tuple[str, ...] = tuple(inherited)

    def stage_options(self) -> dict[str, Any]:
        """Returns the options that the trials of a search must have in common."""
        return {"population_size": self.population_size, "interval": self.interval}

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        generation, member = self._next_slot()
        if generation == self.generations:
            status = TrialStatus.IDLE if self.ongoing_trials else TrialStatus.STOPPED
            return {"status": status, "values": None}
        if generation == 0:
            values = self.next_enqueued() or self._draw_untried()
            if values is None:
                return {"status": TrialStatus.STOPPED, "values": None}
            return self._proposal(values, generation, member, None)
        previous = self._members(generation - 1)
        if any(trial.trial_id in self.ongoing_ids() for trial in previous.values()):
            return {"status": TrialStatus.IDLE, "values": None}
        parent, is_replaced = self._parent(previous, member)
        if parent is None:  # all of them have failed
            return {"status": TrialStatus.STOPPED, "values": None}
        values = own_values(parent.hyperparameters.values)
        if is_replaced:
            values = self.perturbed(values, trial_id)
        return self._proposal(values, generation, member, parent.trial_id)

    def next_enqueued(self) -> dict[str, Any] | None:
        # Start values are for the first generation.
        return super().next_enqueued() if self._next_slot()[0] == 0 else None

    def propose_enqueued(self, trial_id: str, values: dict[str, Any]) -> dict[str, Any]:
        return self._proposal(values, *self._next_slot(), None)

    def _next_slot(self) -> tuple[int, int]:
        """Generation and member of the next trial."""
        taken = {
            (v["tuner/generation"], v["tuner/member"])
            for v in (t.hyperparameters.values for t in self.trials.values())
            if "tuner/member" in v
        }
        for generation in range(self.generations):
            for member in range(self.population_size):
                if (generation, member) not in taken:
                    return generation, member
        return self.generations, 0

    def _members(self, generation: int) -> dict[int, Trial]:
        """The trials of a generation by their member."""
        return {
            values["tuner/member"]: trial
            for trial in self.trials.values()
            if (values := trial.hyperparameters.values).get("tuner/generation")
            == generation
        }

    def _parent(
        self, previous: dict[int, Trial], member: int
    ) -> tuple[Trial | None, bool]:
        """Whose weights a member takes, and whether it is replaced by them."""
        completed = set(map(id, self.completed_trials()))
        ranked = [trial for trial in previous.values() if id(trial) in completed]
        sign = -1 if self.objective.direction == "max" else 1
        ranked.sort(key=lambda trial: (sign * trial.score, trial.trial_id))
        if not ranked:
            return None, False
        count = max(1, int(len(ranked) * self.quantile))
        best, worst = ranked[:count], ranked[max(count, len(ranked) - count) :]
        own = previous.get(member)
        # A member that has failed is replaced too.
        if own in ranked and own not in worst:
            return own, False
        draw = self.probability("parent", len(self.trials))
        return best[int(draw * len(best))], True

    def perturbed(self, values: dict[str, Any], trial_id: str) -> dict[str, Any]:
        """Returns changed values.

        Args:
            values: The values, by the names of hyperparameters.
            trial_id: Id of the trial that gets them, which decides the draws.
        """
        rng = self.random_state("perturbed", trial_id)

        def value_of(hp: Any) -> Any:
            previous = values.get(hp.name)
            is_legal = hp.name in values and _space.is_legal(hp, previous)
            if is_legal and hp.name in self.inherited:
                return previous
            if not is_legal or rng.random() < self.resample_probability:
                return hp.prob_to_value(rng.random())
            factor = (0.8, 1.2)[int(rng.integers(2))]
            return _multiplied(hp, previous, factor)

        for _ in range(self.attempts()):
            changed = _space.fill(self.hyperparameters.space, {}, value_of)
            if self.is_feasible(changed):
                return changed
        return values

    def _proposal(
        self,
        values: dict[str, Any],
        generation: int,
        member: int,
        parent: str | None,
    ) -> dict[str, Any]:
        entries: dict[str, Any] = {
            "tuner/generation": generation,
            "tuner/member": member,
            "tuner/epochs": (generation + 1) * self.interval,
            "tuner/initial_epoch": generation * self.interval,
        }
        if parent is not None:
            entries["tuner/trial_id"] = parent
        return {"status": TrialStatus.RUNNING, "values": {**values, **entries}}


def _multiplied(hp: Any, value: Any, factor: float) -> Any:
    """The value of a number times `factor`, within its range and on its steps."""
    if not _space.is_numeric(hp):
        return value
    if not hasattr(hp, "min_value"):  # an ordered choice: its neighbour
        ordered = sorted(hp.values)
        position = ordered.index(value) + (1 if factor > 1 else -1)
        return ordered[min(len(ordered) - 1, max(0, position))]
    limited = min(hp.max_value, max(hp.min_value, value * factor))
    moved = hp.prob_to_value(min(hp.value_to_prob(limited), 1 - 1e-9))
    return min(hp.max_value, max(hp.min_value, moved))
