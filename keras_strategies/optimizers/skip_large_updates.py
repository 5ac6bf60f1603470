"""Leaving out bad steps."""

from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies.optimizers import gradients as functions
from keras_strategies.optimizers.transform import Transform


@serializable
class SkipLargeUpdates(Transform):
    """Leaves out the steps whose gradients are too large or not finite.

    Nothing of such a step remains: weights, moments and `iterations` stay as they
    were, which a gradient of zeros does not achieve with an optimizer that has
    momentum. What the forward pass has changed, such as the statistics of batch
    normalization, stays changed.

    ```
    update only if ||G|| <= max_norm,   G all gradients together
    ```

    Costs a copy of the optimizer's state in each step. `skipped` counts.

    Args:
        max_norm: Largest norm of all gradients together, greater than 0. With `None`,
            the default, only steps that are not finite are left out.
        name: Name of the transform. Defaults to the name of the class.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    ```python
    import keras
    from keras_strategies import optimizers

    skip = optimizers.SkipLargeUpdates(max_norm=10.0)
    optimizer = optimizers.GradientTransform(keras.optimizers.SGD(1.0), [skip])
    weight = keras.Variable([0.0])
    for gradient in (1.0, 99.0, float("nan")):
        optimizer.apply([keras.ops.convert_to_tensor([gradient])], [weight])
    print(keras.ops.convert_to_numpy(weight), int(skip.skipped))  # [-1.] 2
    ```
    """

    def __init__(self, max_norm=None, name=None):
        super().__init__(name)
        self.max_norm = checks.real(
            "max_norm", max_norm, low=0, low_open=True, optional=True
        )
        self._skipped = None

    @property
    def skipped(self):
        """Number of steps left out so far: a variable, or 0 before the first step."""
        return 0 if self._skipped is None else self._skipped

    def build(self, optimizer, variables):
        self._skipped = optimizer.add_variable((), dtype="int32", name="skipped")

    def accept(self, gradients, variables, step):
        norm = functions.global_norm(gradients)
        good = ops.isfinite(norm)
        if self.max_norm is not None:
            good = ops.logical_and(good, norm <= self.max_norm)
        self._skipped.assign(self._skipped + ops.cast(ops.logical_not(good), "int32"))
        return good

    def get_config(self):
        return {"max_norm": self.max_norm, "name": self.name}
