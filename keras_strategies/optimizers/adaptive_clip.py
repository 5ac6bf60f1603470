"""Adaptive gradient clipping."""

from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies.optimizers import gradients as functions
from keras_strategies.optimizers._selection import checked_patterns, compiled, path_of
from keras_strategies.optimizers.transform import Transform


@serializable
class AdaptiveClip(Transform):
    """Limits gradients relative to the size of the weights (AGC).

    A fixed clip norm is too much for small layers and too little for large ones. This
    one made networks without batch normalization trainable at large batch sizes.

    ```
    limit = clip_factor * max(||w||, epsilon)
    g * min(1, limit / ||g||)          for each unit w and its gradient g
    ```

    A unit is what belongs to one output: all axes of a weight but the last; vectors
    are one unit.

    Reference:

    - [Brock et al., 2021, High-Performance Large-Scale Image Recognition Without
      Normalization](https://arxiv.org/abs/2102.06171)

    Args:
        clip_factor: Largest ratio of the norms of gradient and weight, greater than
            0. The larger the batch, the smaller it should be. Defaults to `0.01`.
        epsilon: Smallest norm of a weight to count with, greater than 0. Defaults to
            `1e-3`.
        exclude: List of regular expressions: variables in whose path one of them is
            found are not clipped. The authors leave out the last layer. Defaults to
            `None`.
        name: Name of the transform. Defaults to the name of the class.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    ```python
    import keras
    from keras_strategies import optimizers

    model = keras.Sequential(
        [keras.Input((8,)), keras.layers.Dense(4), keras.layers.Dense(2, name="head")]
    )
    clip = optimizers.AdaptiveClip(0.02, exclude=["head/"])
    model.compile(optimizers.GradientTransform("sgd", [clip]), loss="mse")
    ```
    """

    def __init__(self, clip_factor=0.01, epsilon=1e-3, exclude=None, name=None):
        super().__init__(name)
        self.clip_factor = checks.real("clip_factor", clip_factor, low=0, low_open=True)
        self.epsilon = checks.real("epsilon", epsilon, low=0, low_open=True)
        self.exclude = checked_patterns("exclude", exclude, optional=True)

    def transform(self, gradients, variables, step):
        return [
            gradient if self._is_excluded(variable) else self._clip(gradient, variable)
            for gradient, variable in zip(gradients, variables, strict=True)
        ]

    def _clip(self, gradient, variable):
        weight = ops.stop_gradient(ops.convert_to_tensor(variable, gradient.dtype))
        return functions.adaptive_clip(gradient, weight, self.clip_factor, self.epsilon)

    def _is_excluded(self, variable):
        path = path_of(variable)
        return any(compiled("exclude", p).search(path) for p in self.exclude or ())

    def get_config(self):
        return {
            "clip_factor": self.clip_factor,
            "epsilon": self.epsilon,
            "exclude": self.exclude,
            "name": self.name,
        }
