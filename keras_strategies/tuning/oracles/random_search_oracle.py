"""Random search."""

from typing import Any

import keras_tuner

from keras_strategies.tuning._private import bases
from keras_strategies.tuning.oracles._base import Objective, OracleBase


class RandomSearchOracle(OracleBase, bases.RandomSearchOracle):
    """Random search: KerasTuner's `RandomSearchOracle` with independent seeds.

    The baseline for every other algorithm, and a fair choice for many short trials at
    a time. In KerasTuner's own, of which this is a subclass, seed 7 draws the trials of
    seed 8 shifted by one, and the search stops before a small space is used up. This
    one does neither, accepts a seed of 0, and continues after failed trials.

    Args:
        objective: Name of a metric, `keras_tuner.Objective`, or a list of these.
            Defaults to `None`: a trial returns the number to minimize.
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

    Example:

    ```python
    import keras_tuner
    from keras_strategies.tuning import RandomSearchOracle

    space = keras_tuner.HyperParameters()
    space.Int("units", 8, 64)
    oracle = RandomSearchOracle("val_loss", seed=7, hyperparameters=space)
    assert 8 <= oracle.sample()["units"] <= 64
    ```
    """

    def __init__(
        self,
        objective: Objective | None = None,
        max_trials: int | None = 10,
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

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        return self.random_proposal()
