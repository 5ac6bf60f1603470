"""ACON-C activation."""

from typing import Any

import keras
from keras import initializers, ops

from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Initializer, Shape, Tensor
from keras_strategies.layers._channel_weights import ChannelWeights


def acon_c(x: Tensor, p1: Tensor, p2: Tensor, beta: Tensor) -> Tensor:
    """Returns `(p1 - p2) * x * sigmoid(beta * (p1 - p2) * x) + p2 * x`."""
    difference = (p1 - p2) * x
    return difference * ops.sigmoid(beta * difference) + p2 * x


@serializable
class AconC(ChannelWeights):
    """Activation that learns for each channel whether to activate, and its slope.

    A smooth maximum of the two linear functions `p1 * x` and `p2 * x`. ReLU, leaky ReLU
    and Swish are special cases; with `beta` near zero a channel is linear.

    ```
    output = (p1 - p2) * x * sigmoid(beta * (p1 - p2) * x) + p2 * x
    ```

    with one trained `p1`, `p2` and `beta` per channel. With the default initial values
    1, 0 and 1 it is Swish; the authors' code draws `p1` and `p2` from a normal
    distribution.

    Reference:

    - [Ma et al., 2021, Activate or Not: Learning Customized Activation](
      https://arxiv.org/abs/2009.04759)

    Args:
        p1_initializer: Initializer of the first slopes. Defaults to `"ones"`.
        p2_initializer: Initializer of the second slopes. Defaults to `"zeros"`.
        beta_initializer: Initializer of the switching factors. Defaults to `"ones"`.
        axis: Axis of the channels. Defaults to `-1`; `1` for channels first.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Input shape:
        `(batch, ..., channels)`.

    Output shape:
        The shape of the input.

    Raises:
        ValueError: If the input has no such axis, or if its channels are unknown.

    Example:

    ```python
    import keras
    from keras_strategies.layers import AconC

    model = keras.Sequential(
        [keras.Input((16, 16, 3)), keras.layers.Conv2D(8, 3), AconC()]
    )
    ```
    """

    def __init__(
        self,
        p1_initializer: Initializer = "ones",
        p2_initializer: Initializer = "zeros",
        beta_initializer: Initializer = "ones",
        axis: int = -1,
        **kwargs: Any,
    ) -> None:
        super().__init__(axis=axis, **kwargs)
        self.p1_initializer: keras.initializers.Initializer = initializers.get(
            p1_initializer
        )
        self.p2_initializer: keras.initializers.Initializer = initializers.get(
            p2_initializer
        )
        self.beta_initializer: keras.initializers.Initializer = initializers.get(
            beta_initializer
        )

    def build(self, input_shape: Shape) -> None:
        self.p1: keras.Variable = self.add_channel_weight(
            input_shape, "p1", self.p1_initializer
        )
        self.p2: keras.Variable = self.add_channel_weight(
            input_shape, "p2", self.p2_initializer
        )
        self.beta: keras.Variable = self.add_channel_weight(
            input_shape, "beta", self.beta_initializer
        )
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        weights = (self.p1, self.p2, self.beta)
        return acon_c(inputs, *(self.along_axis(w, inputs) for w in weights))

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "p1_initializer": initializers.serialize(self.p1_initializer),
            "p2_initializer": initializers.serialize(self.p2_initializer),
            "beta_initializer": initializers.serialize(self.beta_initializer),
        }
