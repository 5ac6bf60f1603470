"""Aging evolution."""

import keras_tuner
from keras_tuner.engine.trial import TrialStatus

from keras_strategies._internal import checks
from keras_strategies.tuning._space import encoding as _moves
from keras_strategies.tuning.oracles._base import RepairedOracle


class EvolutionOracle(RepairedOracle, keras_tuner.Oracle):
    """Aging evolution: change the best of a few recent trials in one place.

    Takes any space as it is: names, numbers, conditional scopes. It needs no other
    package, about a millisecond a proposal, and keeps no state beside the trials, so
    that resumed and parallel searches behave like any other. Also the way to search
    architectures.

    After `startup_trials` random trials each proposal draws `sample_size` of the last
    `population_size` trials, takes the best of them and moves each of its values with
    probability 1 / (number of values), at least one. Numbers take a normal step whose
    width shrinks from `scale` to a quarter of it over the search; names change to any
    other. The old leave the population, good or bad, so one lucky result does not rule
    for long.

    Reference: Real et al., 2019,
    [Regularized Evolution](https://arxiv.org/abs/1802.01548).

    Args:
        objective: Name of a metric, `keras_tuner.Objective`, or a list of these.
        max_trials: Trials at most. Default 10.
        startup_trials: Random trials before the first change, at least 2. `None`
            (default) for a fifth of `max_trials`, between 10 and 20, and at most
            half of `max_trials`.
        population_size: Trials that can be parents, at least 2. Default 20.
        sample_size: Trials drawn for each choice of a parent, at least 1; fewer
            explore more, which pays in searches of hundreds of trials. Default 15.
        scale: Width of a step at the start, as a fraction of the range, in (0, 1].
            Default 0.3.
        seed: Integer, or `None` (default) for a different search each time.
        hyperparameters: `keras_tuner.HyperParameters` to search, if known beforehand.
        allow_new_entries: Whether the model may ask for more. Default `True`.
        tune_new_entries: Whether these are searched too. Default `True`.
        max_retries_per_trial: Further attempts for a failed trial. Default 0.
        max_consecutive_failed_trials: Failures in a row that end the search, `None`
            (default) for no such end.

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

    def __init__(
        self,
        objective=None,
        max_trials=10,
        startup_trials=None,
        population_size=20,
        sample_size=15,
        scale=0.3,
        seed=None,
        hyperparameters=None,
        allow_new_entries=True,
        tune_new_entries=True,
        max_retries_per_trial=0,
        max_consecutive_failed_trials=None,
    ):
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
        self.startup_trials = checks.integer("startup_trials", startup_trials, low=2)
        self.population_size = checks.integer("population_size", population_size, low=2)
        self.sample_size = checks.integer("sample_size", sample_size, low=1)
        self.scale = checks.real("scale", scale, low=0, high=1, low_open=True)

    def populate_space(self, trial_id):
        population = self.finished()[-self.population_size :]
        if len(population) < self.startup_trials:
            return self.random_proposal()
        rng = self.random_state("parents", len(self.trials))
        size = min(self.sample_size, len(population))
        drawn = [population[k] for k in rng.choice(len(population), size, False)]
        best = max if self.objective.direction == "max" else min
        parent = best(drawn, key=lambda trial: trial.score).hyperparameters.values
        for attempt in range(self._max_collisions):
            values = self.child(parent, attempt)
            if not self._duplicate(values):
                return {"status": TrialStatus.RUNNING, "values": values}
        return self.random_proposal()

    def child(self, parent, attempt=0):
        """A combination near the dict of values `parent`."""
        space = self.hyperparameters.space
        done = len(self.trials) / self.max_trials if self.max_trials else 0.5
        rng = self.random_state("child", len(self.trials), attempt)
        rate = 1 / max(1, sum(hp.name in parent for hp in _moves.searched(space)))
        scale = self.scale * 0.25 ** min(1.0, done)
        return _moves.mutated(space, parent, rng, rate, scale)
