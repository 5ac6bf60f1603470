"""Gradient clipping at a percentile of past norms."""

from collections.abc import Sequence

import keras
from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Tensor
from keras_strategies.optimizers import _gradients
from keras_strategies.optimizers.transform import Transform


@serializable
class PercentileClip(Transform):
    """Clips the gradients at a percentile of their past norms (AutoClip).

    Chooses the clip norm from the data and adapts it during training, so that there is
    no threshold to tune.

    ```
    history: the global norms ||G|| of the last `window` updates, this one included
    G * min(1, percentile(history) / ||G||)
    ```

    The paper keeps all norms of the training; a window bounds the memory and forgets
    old norms. Norms that are not finite are not stored.

    Reference:

    - [Seetharaman et al., 2020, AutoClip: Adaptive Gradient Clipping for Source
      Separation Networks](https://arxiv.org/abs/2007.14469)

    Args:
        percentile: Percentile of the norms, in [0, 100]; a smaller one clips more.
            Defaults to `10.0`, as in the paper.
        window: Number of norms to store, at least 1. Defaults to `1000`.
        name: Name of the transform. Defaults to the name of the class.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    ```python
    import keras
    from keras_strategies import optimizers

    clip = optimizers.PercentileClip(percentile=50)
    optimizer = optimizers.GradientTransform(keras.optimizers.SGD(1.0), [clip])
    weight = keras.Variable([0.0])
    for gradient in (1.0, 1.0, 100.0):
        optimizer.apply([keras.ops.convert_to_tensor([gradient])], [weight])
    print(keras.ops.convert_to_numpy(weight))  # [-3.]
    ```
    """

    def __init__(
        self, percentile: float = 10.0, window: int = 1000, name: str | None = None
    ) -> None:
        super().__init__(name)
        self.percentile: float = checks.real("percentile", percentile, low=0, high=100)
        self.window: int = checks.integer("window", window, low=1)

    def build(
        self, optimizer: keras.optimizers.Optimizer, variables: Sequence[keras.Variable]
    ) -> None:
        self._history = optimizer.add_variable(
            (self.window,), dtype="float32", name="norm_history"
        )
        self._count = optimizer.add_variable((), dtype="int32", name="norm_count")

    def transform(
        self,
        gradients: list[Tensor],
        variables: Sequence[keras.Variable],
        step: Tensor,
    ) -> list[Tensor]:
        norm = _gradients.global_norm(gradients)
        finite = ops.isfinite(norm)
        previous_count = ops.convert_to_tensor(self._count)
        # A ring buffer, written by `where`: indices differ from step to step.
        is_slot = ops.arange(self.window, dtype="int32") == previous_count % self.window
        history = ops.where(
            ops.logical_and(is_slot, finite), norm, ops.convert_to_tensor(self._history)
        )
        count = previous_count + ops.cast(finite, "int32")
        self._history.assign(history)
        self._count.assign(count)
        num_stored = ops.minimum(ops.maximum(count, 1), self.window)
        limit = _gradients.percentile(history, num_stored, self.percentile)
        # Gradients that are not finite pass: `SkipLargeUpdates` and loss scaling
        # must see them.
        clip = ops.logical_and(finite, norm > limit)
        scale = ops.where(clip, limit / ops.maximum(norm, 1e-12), 1.0)
        return [gradient * ops.cast(scale, gradient.dtype) for gradient in gradients]

    def get_config(self) -> Config:
        return {
            "percentile": self.percentile,
            "window": self.window,
            "name": self.name,
        }
