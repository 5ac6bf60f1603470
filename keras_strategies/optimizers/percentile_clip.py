"""Clipping at a percentile of the norms seen so far."""

from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies.optimizers import gradients as functions
from keras_strategies.optimizers.transform import Transform


@serializable
class PercentileClip(Transform):
    """Clips the gradients at a percentile of their past norms (AutoClip).

    Chooses the clip norm by itself and follows it through the training, so that there
    is nothing to tune.

    ```
    history: the global norms ||G|| of the last `window` updates, this one included
    G * min(1, percentile(history) / ||G||)
    ```

    The paper keeps all norms of the training; a window bounds the memory and lets old
    norms go. Norms that are not finite are not remembered.

    Reference:

    - [Seetharaman et al., 2020, AutoClip: Adaptive Gradient Clipping for Source
      Separation Networks](https://arxiv.org/abs/2007.14469)

    Args:
        percentile: In [0, 100]; the smaller, the more is clipped. Defaults to `10.0`,
            as in the paper.
        window: Number of norms to remember, at least 1. Defaults to `1000`.
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

    def __init__(self, percentile=10.0, window=1000, name=None):
        super().__init__(name)
        self.percentile = checks.real("percentile", percentile, low=0, high=100)
        self.window = checks.integer("window", window, low=1)

    def build(self, optimizer, variables):
        self._history = optimizer.add_variable(
            (self.window,), dtype="float32", name="norm_history"
        )
        self._count = optimizer.add_variable((), dtype="int32", name="norm_count")

    def transform(self, gradients, variables, step):
        norm = functions.global_norm(gradients)
        finite = ops.isfinite(norm)
        seen = ops.convert_to_tensor(self._count)
        slot = ops.arange(self.window, dtype="int32") == seen % self.window
        history = ops.where(
            ops.logical_and(slot, finite), norm, ops.convert_to_tensor(self._history)
        )
        count = seen + ops.cast(finite, "int32")
        self._history.assign(history)
        self._count.assign(count)
        known = ops.minimum(ops.maximum(count, 1), self.window)
        limit = functions.percentile(history, known, self.percentile)
        # A norm that is not finite leaves NaN and infinity for others to deal with.
        clip = ops.logical_and(finite, norm > limit)
        scale = ops.where(clip, limit / ops.maximum(norm, 1e-12), 1.0)
        return [gradient * ops.cast(scale, gradient.dtype) for gradient in gradients]

    def get_config(self):
        return {
            "percentile": self.percentile,
            "window": self.window,
            "name": self.name,
        }
