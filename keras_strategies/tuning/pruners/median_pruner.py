"""The median stopping rule."""

import math
import statistics
from collections.abc import Sequence
from typing import Literal

from keras_strategies._internal import checks
from keras_strategies.tuning.pruners._curves import (
    Curve,
    Direction,
    best_so_far,
    is_worse,
)


class MedianPruner:
    """Stops a trial that is worse than half of the others were at the same epoch.

    The cheapest saving in a search whose trials train for many epochs: a trial that is
    clearly worse is not trained to the end. It needs curves that can be compared early;
    where slow starters win, raise `warmup_epochs`.

    After epoch $e$ a trial is stopped if the best value it has reached is worse than
    the median of the values that the finished trials had after epoch $e$.

    Reference: Golovin et al., 2017,
    [Google Vizier](https://doi.org/10.1145/3097983.3098043), section 3.2.2.

    Args:
        startup_trials: Number of trials that must be finished before any is stopped,
            at least 1. Defaults to `5`.
        warmup_epochs: Number of epochs that every trial gets, at least 1. Defaults to
            `3`; with 1, the best trial was stopped in one of eight searches.

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

    # As in Optuna's rule. Vizier's also counts stopped trials, whose curves, being the
    # worse ones, would lower the median.
    compares: Literal["completed", "all"] = "completed"

    def __init__(self, startup_trials: int = 5, warmup_epochs: int = 3) -> None:
        self.startup_trials: int = checks.integer(
            "startup_trials", startup_trials, low=1
        )
        self.warmup_epochs: int = checks.integer("warmup_epochs", warmup_epochs, low=1)

    def should_stop(
        self, curve: Curve, others: Sequence[Curve], direction: Direction
    ) -> bool:
        """Returns whether a trial stops after the last epoch of `curve`.

        Args:
            curve: The objective of the trial after each epoch, `{epoch: value}` with
                epochs from 0.
            others: The curves of the finished trials.
            direction: `"min"` or `"max"`, whichever is better.
        """
        epoch = max(curve)
        if len(others) < self.startup_trials or epoch + 1 < self.warmup_epochs:
            return False
        values = [rival[epoch] for rival in others if epoch in rival]
        values = [value for value in values if not math.isnan(value)]
        if not values:
            return False
        best = best_so_far(curve, direction)
        return is_worse(best, statistics.median(values), direction)
