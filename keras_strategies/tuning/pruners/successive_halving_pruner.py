"""Asynchronous successive halving."""

from keras_strategies._internal import checks
from keras_strategies.tuning.pruners import _curves as _pruning


class SuccessiveHalvingPruner:
    """Lets only the best fraction of the trials train on, at a few epochs (ASHA).

    Stricter than the median rule, for many cheap trials: most are stopped at the first
    rung. Nothing waits for others, so it also serves parallel searches.

    Rung $k$ is after `min_epochs` times `factor` to the power $k$ epochs. A trial goes
    on from a rung if its value there is among the best 1/`factor` of all trials that
    have reached it (the best one always is).

    Reference: Li et al., 2020,
    [A System for Massively Parallel Hyperparameter Tuning](https://arxiv.org/abs/1810.05934).

    Args:
        min_epochs: Epochs that every trial gets: the first rung, at least 1.
            Default 1.
        factor: One in `factor` trials goes on, at least 2. Default 3.

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

    # Trials under way count at the rungs they have reached.
    compares = "all"

    def __init__(self, min_epochs=1, factor=3):
        self.min_epochs = checks.integer("min_epochs", min_epochs, low=1)
        self.factor = checks.integer("factor", factor, low=2)

    def should_stop(self, curve, others, direction):
        """Whether a trial stops after the last epoch of `curve`.

        `curve` maps epochs (from 0) to the objective; `others` are the curves of the
        other trials; `direction` is "min" or "max".
        """
        epoch = max(curve)
        if not self._is_rung(epoch + 1):
            return False
        own = _pruning.best_so_far({epoch: curve[epoch]}, direction)
        values = [
            _pruning.best_so_far({epoch: other[epoch]}, direction)
            for other in others
            if epoch in other
        ]
        better = sum(_pruning.is_worse(own, value, direction) for value in values)
        return better >= max(1, (len(values) + 1) // self.factor)

    def _is_rung(self, epochs):
        rung = self.min_epochs
        while rung < epochs:
            rung *= self.factor
        return rung == epochs
