"""Asynchronous successive halving."""

from collections.abc import Sequence
from typing import Literal

from keras_strategies._internal import checks
from keras_strategies.tuning.pruners._curves import (
    Curve,
    Direction,
    best_so_far,
    is_worse,
)


class SuccessiveHalvingPruner:
    """Stops all but the best fraction of the trials at each of a few epochs (ASHA).

    Stricter than the median rule, for many cheap trials: most are stopped at the first
    rung. No trial waits for another, so it also serves parallel searches.

    Rung $k$ is reached after `min_epochs * factor**k` epochs. A trial
    continues beyond a rung if its value there is among the best 1/`factor` of all
    trials that have reached it (the best one always is).

    Reference: Li et al., 2020,
    [A System for Massively Parallel Hyperparameter Tuning](https://arxiv.org/abs/1810.05934).

    Args:
        min_epochs: Number of epochs that every trial gets, the first rung, at least 1.
            Defaults to `1`.
        factor: One in `factor` trials continues, at least 2. Defaults to `3`.

    Raises:
        ValueError: If a number is too small.
        TypeError: If an argument has the wrong type.

    Example:

    ```python
    from keras_strategies.tuning import SuccessiveHalvingPruner

    pruner = SuccessiveHalvingPruner(min_epochs=1, factor=2)
    finished = [{0: 0.5}, {0: 0.6}, {0: 0.9}]
    assert pruner.should_stop({0: 0.4}, finished, "max")
    assert not pruner.should_stop({0: 0.8}, finished, "max")
    ```
    """

    # Trials under way count at the rungs they have reached: the asynchronous part.
    compares: Literal["completed", "all"] = "all"

    def __init__(self, min_epochs: int = 1, factor: int = 3) -> None:
        self.min_epochs: int = checks.integer("min_epochs", min_epochs, low=1)
        self.factor: int = checks.integer("factor", factor, low=2)

    def should_stop(
        self, curve: Curve, others: Sequence[Curve], direction: Direction
    ) -> bool:
        """Returns whether a trial stops after the last epoch of `curve`.

        Args:
            curve: The objective of the trial after each epoch, `{epoch: value}` with
                epochs from 0.
            others: The curves of all other trials.
            direction: `"min"` or `"max"`, whichever is better.
        """
        epoch = max(curve)
        if not self._is_rung(epoch + 1):
            return False
        # A value that is not finite counts as the worst possible one.
        value = best_so_far({epoch: curve[epoch]}, direction)
        rivals = [
            best_so_far({epoch: rival[epoch]}, direction)
            for rival in others
            if epoch in rival
        ]
        better = sum(is_worse(value, rival, direction) for rival in rivals)
        return better >= max(1, (len(rivals) + 1) // self.factor)

    def _is_rung(self, epochs: int) -> bool:
        rung = self.min_epochs
        while rung < epochs:
            rung *= self.factor
        return rung == epochs
