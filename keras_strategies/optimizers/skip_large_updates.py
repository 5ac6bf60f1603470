"""Skipping of steps with too large gradients."""

from collections.abc import Sequence

import keras
from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Tensor
from keras_strategies.optimizers import _gradients
from keras_strategies.optimizers.transform import Transform


@serializable
class SkipLargeUpdates(Transform):
    """Skips the steps whose gradients are too large or not finite.

    A skipped step changes neither weights nor moments nor `iterations`, which zero
    gradients do not achieve with an optimizer that has momentum. What the forward pass
    changes, such as the moving statistics of batch normalization, remains changed.

    ```
    update only if ||G|| <= max_norm,   G all gradients together
    ```

    Costs a copy of the optimizer's state in each step. `skipped` counts these steps.

    Args:
        max_norm: Largest norm of all gradients together, greater than 0, or `None` to
            skip only steps that are not finite. Defaults to `None`.
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

    def __init__(self, max_norm: float | None = None, name: str | None = None) -> None:
        super().__init__(name)
        self.max_norm: float | None = checks.real(
            "max_norm", max_norm, low=0, low_open=True, optional=True
        )
        self._skipped = None

    @property
    def skipped(self) -> keras.Variable | int:
        """Number of skipped steps: a variable, or 0 before the optimizer is built."""
        return 0 if self._skipped is None else self._skipped

    def build(
        self, optimizer: keras.optimizers.Optimizer, variables: Sequence[keras.Variable]
    ) -> None:
        self._skipped = optimizer.add_variable((), dtype="int32", name="skipped")

    def accept(
        self,
        gradients: Sequence[Tensor],
        variables: Sequence[keras.Variable],
        step: Tensor,
    ) -> Tensor | None:
        norm = _gradients.global_norm(gradients)
        accepted = ops.isfinite(norm)
        if self.max_norm is not None:
            accepted = ops.logical_and(accepted, norm <= self.max_norm)
        skipped = ops.cast(ops.logical_not(accepted), "int32")
        self._skipped.assign(self._skipped + skipped)
        return accepted

    def get_config(self) -> Config:
        return {"max_norm": self.max_norm, "name": self.name}
