"""Lookahead: slow weights that follow those of an inner optimizer."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_strategies._internal import checks, keras_private
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config
from keras_strategies._internal.weights.values import host_value
from keras_strategies.optimizers._wrapper import OptimizerWrapper


@serializable
class Lookahead(OptimizerWrapper):
    """Interpolates between the weights before and after `k` steps of an optimizer.

    Every `sync_period` steps the weights are set to a point between the start and the
    end of the inner optimizer's last `sync_period` steps. Training becomes more stable
    and less sensitive to the learning rate, at the cost of one more copy of the
    weights.

    ```
    every k steps:  slow <- slow + alpha * (w - slow),   w <- slow
    ```

    Around `RAdam` it is known as Ranger. Between two synchronizations the model has
    the fast weights. The slow weights are saved with the optimizer.

    Reference:

    - [Zhang et al., 2019, Lookahead Optimizer: k steps forward, 1 step back](
      https://arxiv.org/abs/1907.08610)

    Args:
        inner_optimizer: A Keras optimizer or its name.
        sync_period: Steps `k` between synchronizations, at least 1. Defaults to `6`.
        slow_step_size: Interpolation factor `alpha`, in (0, 1]. Defaults to `0.5`.
        name: Name of the optimizer. Defaults to `None`, the name of the class.

    Raises:
        TypeError: If `inner_optimizer` is no optimizer.
        ValueError: If an argument is out of its range.

    Example:

    ```python
    import keras
    from keras_strategies import optimizers

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(2)])
    ranger = optimizers.Lookahead(optimizers.RAdam(1e-3))
    model.compile(ranger, loss="mse")
    ```
    """

    def __init__(
        self,
        inner_optimizer: keras.optimizers.Optimizer | str,
        sync_period: int = 6,
        slow_step_size: float = 0.5,
        name: str | None = None,
    ) -> None:
        super().__init__(inner_optimizer, name=name)
        self.sync_period: int = checks.integer("sync_period", sync_period, low=1)
        self.slow_step_size: float = checks.real(
            "slow_step_size", slow_step_size, low=0, high=1, low_open=True
        )

    def _build(self, variables: Sequence[keras.Variable]) -> None:
        self._slow = [
            self.add_variable_from_reference(v, name="slow") for v in variables
        ]
        # Positions of the weights that were ever given to an update.
        self._updated = ()

    def _begin(self, variables: Sequence[keras.Variable]) -> None:
        # Slow weights that join in the middle start from the weights as well.
        for variable in variables:
            slow = self._slow[keras_private.slot(self, variable)]
            slow.assign(host_value(variable))

    def _update(self, gradients: list[Any], variables: list[Any]) -> None:
        # A weight without a gradient in this step is synchronized too, but not one that
        # never had any: it belongs to another optimizer, for whose steps there are no
        # slow weights here. `fit` builds the optimizer of a GAN for all weights.
        positions = {keras_private.slot(self, variable) for variable in variables}
        self._updated = tuple(sorted(positions.union(self._updated)))
        all_variables = keras_private.updated_variables(self)
        pairs = [(self._slow[i], all_variables[i]) for i in self._updated]
        before = ops.copy(ops.convert_to_tensor(self.iterations))
        # At the first step the slow weights are the weights, which may have been loaded
        # after `build`.
        is_first = ops.equal(before, 0)
        slow_values = [
            ops.where(is_first, ops.convert_to_tensor(v), ops.convert_to_tensor(slow))
            for slow, v in pairs
        ]
        self.inner_optimizer.apply(gradients, variables)
        # Once after a step: not again while gradients are accumulated or steps skipped.
        after = ops.convert_to_tensor(self.iterations)
        is_sync = ops.logical_and(
            ops.not_equal(after, before), ops.equal(after % self.sync_period, 0)
        )
        for (slow, variable), slow_value in zip(pairs, slow_values, strict=True):
            fast_value = ops.convert_to_tensor(variable)
            alpha = ops.cast(self.slow_step_size, slow_value.dtype)
            merged = slow_value + alpha * (fast_value - slow_value)
            # Branches by `where`: the step is compiled once.
            slow.assign(ops.where(is_sync, merged, slow_value))
            variable.assign(ops.where(is_sync, merged, fast_value))

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "sync_period": self.sync_period,
            "slow_step_size": self.slow_step_size,
        }
