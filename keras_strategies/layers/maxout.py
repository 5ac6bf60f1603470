"""Maxout activation."""

from typing import Any

from keras import ops

from keras_strategies._internal import bases, checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Shape, Tensor
from keras_strategies.layers import _axes


def maxout(x: Tensor, num_units: int, axis: int) -> Tensor:
    """Returns the maximum of each group of `channels / num_units` channels."""
    shape = ops.shape(x)
    # The members of a group are `num_units` channels apart, as in TensorFlow Addons:
    # an axis of the members, then one of the units.
    group_size = shape[axis] // num_units
    grouped = (-1, *shape[1:axis], group_size, num_units, *shape[axis + 1 :])
    return ops.max(ops.reshape(x, grouped), axis=axis)


@serializable
class Maxout(bases.Layer):
    """Reduces groups of channels to their maximum: a learned activation.

    After a `Dense` or a convolution with `k * num_units` channels, each unit is the
    maximum of `k` affine functions and can approximate any convex activation. Intended
    for use with dropout.

    ```
    output[i] = max(inputs[i], inputs[n + i], ..., inputs[(k - 1) * n + i])
    ```

    with `n = num_units` and `k = channels / n`. The groups are those of the layer of
    the same name in TensorFlow Addons, so that weights trained with it can be used.

    Reference:

    - [Goodfellow et al., 2013, Maxout Networks](https://arxiv.org/abs/1302.4389)

    Args:
        num_units: Channels of the output; it must divide those of the input.
        axis: Axis of the channels. Defaults to `-1`; `1` for channels first.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Input shape:
        `(batch, ..., channels)`.

    Output shape:
        That of the input with `num_units` channels.

    Raises:
        ValueError: If `num_units` does not divide the channels of the input.

    Example:

    ```python
    import keras
    from keras_strategies.layers import Maxout

    model = keras.Sequential(
        [keras.Input((8,)), keras.layers.Dense(4 * 16), Maxout(16)]
    )
    ```
    """

    def __init__(self, num_units: int, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_units: int = checks.integer("num_units", num_units, low=1)
        self.axis: int = checks.integer("axis", axis)
        self.supports_masking: bool = True

    def build(self, input_shape: Shape) -> None:
        self.compute_output_shape(input_shape)
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        return maxout(inputs, self.num_units, self.axis % len(inputs.shape))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        _, axis = _axes.rank_and_axis(input_shape, self.axis, "Maxout")
        channels = _axes.static_size(input_shape, axis, "Maxout")
        if channels % self.num_units:
            checks.fail(
                "The channels of the input must be a multiple of `num_units`",
                channels=channels,
                num_units=self.num_units,
                fix="Give the layer before it k * num_units channels.",
            )
        return (*input_shape[:axis], self.num_units, *input_shape[axis + 1 :])

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "num_units": self.num_units,
            "axis": self.axis,
        }
