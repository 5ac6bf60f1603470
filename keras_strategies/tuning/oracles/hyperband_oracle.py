"""Hyperband."""

import keras_tuner

from keras_strategies._internal import checks
from keras_strategies.tuning.oracles._base import RepairedOracle


class HyperbandOracle(RepairedOracle, keras_tuner.oracles.HyperbandOracle):
    """Many short trials, the best of them longer, as KerasTuner's `HyperbandOracle`.

    For training that shows early how it will end. It chooses the number of epochs
    itself, so `epochs` in `search` does not count; `trials_and_epochs` says beforehand
    what a whole run costs, which users of KerasTuner's own had to compute.

    Reference: Li et al., 2018, [Hyperband](https://arxiv.org/abs/1603.06560).

    Args:
        objective: Name of a metric, `keras_tuner.Objective`, or a list of these.
        max_epochs: Epochs of the longest trials, at least 1. Default 100.
        factor: Between rounds the trials are divided by it and the epochs multiplied,
            at least 2. Default 3.
        hyperband_iterations: How often the whole run is repeated, at least 1.
            Default 1.
        max_trials: Trials at most, counting each round of a trial; `None` (default)
            for whole runs.
        seed: Integer, or `None` (default) for a different search each time.
        hyperparameters: `keras_tuner.HyperParameters` to search, if known beforehand.
        allow_new_entries: Whether the model may ask for more. Default `True`.
        tune_new_entries: Whether these are searched too. Default `True`.
        max_retries_per_trial: Further attempts for a failed trial. Default 0.
        max_consecutive_failed_trials: Failures in a row that end the search, `None`
            (default) for no such end.

    Raises:
        ValueError: If a number is too small.

    Example:

    ```python
    from keras_strategies.tuning import HyperbandOracle

    oracle = HyperbandOracle("val_loss", max_epochs=9, factor=3)
    trials, epochs = oracle.trials_and_epochs()
    assert trials > 9 and epochs > 27
    ```
    """

    def __init__(
        self,
        objective=None,
        max_epochs=100,
        factor=3,
        hyperband_iterations=1,
        max_trials=None,
        seed=None,
        hyperparameters=None,
        allow_new_entries=True,
        tune_new_entries=True,
        max_retries_per_trial=0,
        max_consecutive_failed_trials=None,
    ):
        super().__init__(
            objective,
            max_epochs=checks.integer("max_epochs", max_epochs, low=1),
            factor=checks.integer("factor", factor, low=2),
            hyperband_iterations=checks.integer(
                "hyperband_iterations", hyperband_iterations, low=1
            ),
            seed=seed,
            hyperparameters=hyperparameters,
            allow_new_entries=allow_new_entries,
            tune_new_entries=tune_new_entries,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
        )
        self.max_trials = max_trials

    def trials_and_epochs(self):
        """Number of trials and epochs of a whole run, without failures."""
        trials = epochs = 0
        for bracket in range(self._get_num_brackets()):
            past = 0
            for round_ in range(bracket + 1):
                count = self._get_size(bracket, round_)
                until = self._get_epochs(bracket, round_)
                trials += count
                epochs += count * (until - past)
                past = until
        return trials * self.hyperband_iterations, epochs * self.hyperband_iterations
