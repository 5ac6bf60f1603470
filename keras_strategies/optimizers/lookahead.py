"""Slow weights that follow the fast ones."""

from keras import ops

from keras_strategies._internal import checks, keras_private
from keras_strategies._internal.registration import serializable
from keras_strategies.optimizers._wrapper import OptimizerWrapper


@serializable
class Lookahead(OptimizerWrapper):
    """Lets an optimizer run ahead and moves only part of the way after it.

    Every `sync_period` steps the weights go back to a point between where the inner
    optimizer started and where it arrived. Less sensitive to the learning rate, and
    steadier, for one more copy of the weights.

    ```
    every k steps:  slow <- slow + alpha * (w - slow),   w <- slow
    ```

    Around `RAdam` it is known as Ranger. Between two synchronizations the model has
    the fast weights. The slow ones are saved with the optimizer.

    Reference:

    - [Zhang et al., 2019, Lookahead Optimizer: k steps forward, 1 step back](
      https://arxiv.org/abs/1907.08610)

    Args:
        inner_optimizer: A Keras optimizer or its name.
        sync_period: Steps `k` between synchronizations, at least 1. Defaults to `6`.
        slow_step_size: Part `alpha` of the way, in (0, 1]. Defaults to `0.5`.
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

    def __init__(self, inner_optimizer, sync_period=6, slow_step_size=0.5, name=None):
        super().__init__(inner_optimizer, name=name)
        self.sync_period = checks.integer("sync_period", sync_period, low=1)
        self.slow_step_size = checks.real(
            "slow_step_size", slow_step_size, low=0, high=1, low_open=True
        )

    def _build(self, variables):
        self._slow = [
            self.add_variable_from_reference(v, name="slow") for v in variables
        ]

    def _begin(self, variables):
        # Slow weights that join in the middle start from the weights as well.
        for variable in variables:
            slow = self._slow[keras_private.slot(self, variable)]
            slow.assign(keras_private.host_value(variable))

    def _update(self, gradients, variables):
        known = keras_private.updated_variables(self)
        # The slow weights start from the first weights, whenever those are loaded.
        starts = ops.equal(self.iterations, 0)
        begun = [
            ops.where(starts, ops.convert_to_tensor(v), ops.convert_to_tensor(slow))
            for slow, v in zip(self._slow, known, strict=True)
        ]
        self.inner_optimizer.apply(gradients, variables)
        synchronizes = ops.equal(self.iterations % self.sync_period, 0)
        for slow, before, variable in zip(self._slow, begun, known, strict=True):
            fast = ops.convert_to_tensor(variable)
            moved = before + ops.cast(self.slow_step_size, before.dtype) * (
                fast - before
            )
            slow.assign(ops.where(synchronizes, moved, before))
            variable.assign(ops.where(synchronizes, moved, fast))

    def get_config(self):
        return {
            **super().get_config(),
            "sync_period": self.sync_period,
            "slow_step_size": self.slow_step_size,
        }
