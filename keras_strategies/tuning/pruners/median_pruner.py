"""The median stopping rule."""

import statistics

from keras_strategies._internal import checks
from keras_strategies.tuning.pruners import _curves as _pruning


class MedianPruner:
    """Stops a trial that is worse than half of the others were at the same epoch.

    The cheapest saving in a search whose trials train for many epochs: what is clearly
    behind is not trained to the end. It needs curves that can be compared early; where
    slow starters win, raise `warmup_epochs`.

    After epoch $e$ a trial is stopped if the best value it has reached is worse than
    the median of the values that the finished trials had after epoch $e$.

    Reference: Golovin et al., 2017,
    [Google Vizier](https://doi.org/10.1145/3097983.3098043), section 3.2.2.

    Args:
        startup_trials: Trials that must be finished before any is stopped, at
            least 1. Default 5.
        warmup_epochs: Epochs that every trial gets, at least 1. Default 3; with 1,
            the best of a search was stopped in one of eight searches.

    Raises:
        ValueError: If a number is below 1.
        TypeError: If an argument has the wrong type.

    Example:

    ```python
    from keras_strategies.tuning import MedianPruner

    pruner = MedianPruner(startup_trials=2, warmup_epochs=1)
    finished = [{0: 0.5, 1: 0.8}, {0: 0.6, 1: 0.9}]
    assert pruner.should_stop({0: 0.2}, finished, "max")
    assert not pruner.should_stop({0: 0.7}, finished, "max")
    ```
    """

    # Survivors only: the median of Optuna's rule.
    compares = "completed"

    def __init__(self, startup_trials=5, warmup_epochs=3):
        self.startup_trials = checks.integer("startup_trials", startup_trials, low=1)
        self.warmup_epochs = checks.integer("warmup_epochs", warmup_epochs, low=1)

    def should_stop(self, curve, others, direction):
        """Whether a trial stops after the last epoch of `curve`.

        `curve` maps epochs (from 0) to the objective; `others` are the curves of the
        finished trials; `direction` is "min" or "max".
        """
        epoch = max(curve)
        if len(others) < self.startup_trials or epoch + 1 < self.warmup_epochs:
            return False
        values = [other[epoch] for other in others if epoch in other]
        values = [value for value in values if value == value]
        if not values:
            return False
        best = _pruning.best_so_far(curve, direction)
        return _pruning.is_worse(best, statistics.median(values), direction)
