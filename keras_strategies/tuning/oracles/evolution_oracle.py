"""Aging evolution."""

from collections.abc import Mapping
from typing import Any

import keras_tuner
from keras_tuner.engine.trial import TrialStatus

from keras_strategies._internal import checks
from keras_strategies.tuning import _space
from keras_strategies.tuning.oracles._base import Objective, OracleBase


class EvolutionOracle(OracleBase):
    """Aging evolution: mutates the best of a random sample of the recent trials.

    Takes any space: choices, numbers, conditional scopes, and with these whole
    architectures. It needs no other package and about a millisecond a proposal, and
    has no state beside the trials, so that resumed and parallel searches behave like
    any other.

    After `startup_trials` random trials, each proposal draws `sample_size` of the last
    `population_size` trials and mutates the best of them: each value changes with
    probability 1 / (number of values), at least one does. A number moves by a normal
    step whose standard deviation falls from `scale` to a quarter of it during the
    search; a choice changes to any other value. Trials leave the population by age,
    good or bad, so that a result that was good by chance is soon forgotten.

    Reference: Real et al., 2019,
    [Regularized Evolution](https://arxiv.org/abs/1802.01548).

    Args:
        objective: Name of a metric, `keras_tuner.Objective`, or a list of these.
            Defaults to `None`: a trial returns the number to minimize.
        max_trials: Maximum number of trials. Defaults to `10`.
        startup_trials: Number of random trials before the first mutation, at least 2.
            Defaults to `None`: a fifth of `max_trials`, between 10 and 20, and at most
            half of `max_trials`.
        population_size: Number of recent trials that can be parents, at least 2.
            Defaults to `20`.
        sample_size: Number of trials drawn to choose a parent from, at least 1; fewer
            explore more, which pays in searches of hundreds of trials. Defaults to
            `15`.
        scale: Standard deviation of a step at the start, as a fraction of the range,
            in (0, 1]. Defaults to `0.3`.
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
    from keras_strategies.tuning import EvolutionOracle

    space = keras_tuner.HyperParameters()
    space.Float("rate", 1e-4, 1e-1, sampling="log")
    space.Choice("optimizer", ["sgd", "adam"])
    oracle = EvolutionOracle("val_loss", seed=1, hyperparameters=space)
    child = oracle.child({"rate": 1e-2, "optimizer": "sgd"})
    assert child != {"rate": 1e-2, "optimizer": "sgd"}
    ```
    """

    uses_history: bool = True

    def __init__(
        self,
        objective: Objective | None = None,
        max_trials: int | None = 10,
        startup_trials: int | None = None,
        population_size: int = 20,
        sample_size: int = 15,
        scale: float = 0.3,
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
        if startup_trials is None:
            trials = max_trials or 100
            startup_trials = max(2, min(20, max(10, trials // 5), trials // 2))
        self.startup_trials: int = checks.integer(
            "startup_trials", startup_trials, low=2
        )
        self.population_size: int = checks.integer(
            "population_size", population_size, low=2
        )
        self.sample_size: int = checks.integer("sample_size", sample_size, low=1)
        self.scale: float = checks.real("scale", scale, low=0, high=1, low_open=True)

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        values, scores = self.known_results()
        if len(values) < self.startup_trials:
            return self.random_proposal()
        count = min(len(values), self.population_size)
        population = list(zip(values, scores, strict=True))[-count:]
        rng = self.random_state("parents", len(self.trials))
        size = min(self.sample_size, len(population))
        sample = [population[k] for k in rng.choice(len(population), size, False)]
        best = max if self.objective.direction == "max" else min
        parent, _ = best(sample, key=lambda individual: individual[1])
        for attempt in range(self.attempts()):
            child = self.child(parent, attempt)
            if not self.is_refused(child):
                return {"status": TrialStatus.RUNNING, "values": child}
        return self.random_proposal()

    def child(self, parent: Mapping[str, Any], attempt: int = 0) -> dict[str, Any]:
        """Returns a mutation of a combination of values.

        Args:
            parent: The values, by the names of hyperparameters.
            attempt: Number of the attempt at this proposal, which draws differently.
        """
        space = self.hyperparameters.space
        progress = len(self.trials) / self.max_trials if self.max_trials else 0.5
        rng = self.random_state("child", len(self.trials), attempt)
        rate = 1 / max(1, sum(hp.name in parent for hp in _space.searched(space)))
        scale = self.scale * 0.25 ** min(1.0, progress)
        return _space.mutate(space, parent, rng, rate, scale)
