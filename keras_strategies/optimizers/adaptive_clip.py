"""Adaptive gradient clipping."""

from collections.abc import Sequence

import keras
from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.select import (
    Selector,
    VariableSelection,
    variable_targets,
)
from keras_strategies._internal.types import Config, Tensor
from keras_strategies.optimizers import _gradients
from keras_strategies.optimizers.transform import Transform


@serializable
class AdaptiveClip(Transform):
    """Limits gradients relative to the size of the weights (AGC).

    A fixed clip norm is too large for small layers and too small for large ones. AGC
    made networks without batch normalization trainable at large batch sizes.

    ```
    limit = clip_factor * max(||w||, epsilon)
    g * min(1, limit / ||g||)          for each unit w and its gradient g
    ```

    A unit is the part of a weight that belongs to one output: all axes but the last;
    vectors are one unit.

    Reference:

    - [Brock et al., 2021, High-Performance Large-Scale Image Recognition Without
      Normalization](https://arxiv.org/abs/2102.06171)

    Args:
        clip_factor: Largest ratio of the norms of gradient and weight, greater than
            0. Larger batches need smaller values. Defaults to `0.01`.
        epsilon: Lower bound of the norm of a weight, greater than 0. Defaults to
            `1e-3`.
        include: The variables to clip: a regular expression that is searched in the
            path of a variable (`"sequential/head/kernel"`), a layer or model, a
            variable, a function of a variable, or a list of these. Defaults to `None`,
            all.
        exclude: The variables not to clip, as in `include`, which it overrides. The
            authors exclude the last layer. Defaults to `None`.
        name: Name of the transform. Defaults to the name of the class.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is out of its range; when the optimizer is built, if
            an entry matches no variable.

    Example:

    ```python
    import keras
    from keras_strategies import optimizers

    model = keras.Sequential(
        [keras.Input((8,)), keras.layers.Dense(4), keras.layers.Dense(2, name="head")]
    )
    clip = optimizers.AdaptiveClip(0.02, exclude="head/")
    model.compile(optimizers.GradientTransform("sgd", [clip]), loss="mse")
    ```
    """

    def __init__(
        self,
        clip_factor: float = 0.01,
        epsilon: float = 1e-3,
        include: Selector | None = None,
        exclude: Selector | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.clip_factor: float = checks.real(
            "clip_factor", clip_factor, low=0, low_open=True
        )
        self.epsilon: float = checks.real("epsilon", epsilon, low=0, low_open=True)
        self._selection = VariableSelection(include, exclude)

    def build(
        self, optimizer: keras.optimizers.Optimizer, variables: Sequence[keras.Variable]
    ) -> None:
        self._selection.resolve(variables)

    def transform(
        self,
        gradients: list[Tensor],
        variables: Sequence[keras.Variable],
        step: Tensor,
    ) -> list[Tensor]:
        targets = variable_targets(variables)
        return [
            self._clip(gradient, target.item) if self._selection(target) else gradient
            for gradient, target in zip(gradients, targets, strict=True)
        ]

    def _clip(self, gradient: Tensor, variable: keras.Variable) -> Tensor:
        weight = ops.stop_gradient(ops.convert_to_tensor(variable, gradient.dtype))
        return _gradients.adaptive_clip(
            gradient, weight, self.clip_factor, self.epsilon
        )

    def get_config(self) -> Config:
        return {
            "clip_factor": self.clip_factor,
            "epsilon": self.epsilon,
            **self._selection.config(),
            "name": self.name,
        }
