"""Random search."""

import keras_tuner

from keras_strategies.tuning.oracles._base import RepairedOracle


class RandomSearchOracle(RepairedOracle, keras_tuner.oracles.RandomSearchOracle):
    """Random values, as KerasTuner's `RandomSearchOracle`, with independent seeds.

    The yardstick for every other algorithm, and a fair choice for many short trials at
    a time. KerasTuner's own, of which this is a subclass, gives the trials of seed 8 to
    seed 7 too, shifted by one, and stops before a small space is used up; this one does
    neither, takes a seed of 0, records failed trials and goes on.

    Args:
        objective: Name of a metric, `keras_tuner.Objective`, or a list of these.
        max_trials: Trials at most. Default 10.
        seed: Integer, or `None` (default) for a different search each time.
        hyperparameters: `keras_tuner.HyperParameters` to search, if known beforehand.
        allow_new_entries: Whether the model may ask for more. Default `True`.
        tune_new_entries: Whether these are searched too. Default `True`.
        max_retries_per_trial: Further attempts for a failed trial. Default 0.
        max_consecutive_failed_trials: Failures in a row that end the search, `None`
            (default) for no such end.

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
        objective=None,
        max_trials=10,
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

    def populate_space(self, trial_id):
        return self.random_proposal()
