"""Swish with a trained slope."""

from typing import Any

import keras
from keras import initializers, ops

from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Initializer, Shape, Tensor
from keras_strategies.layers._channel_weights import ChannelWeights


@serializable
class LearnableSwish(ChannelWeights):
    """Swish with a trained slope per channel.

    Each channel learns its activation between linear (`beta = 0`) and ReLU (large
    `beta`). `keras.activations.silu` is the same with the constant `beta = 1`.

    ```
    output = x * sigmoid(beta * x)
    ```

    Reference:

    - [Ramachandran et al., 2017, Searching for Activation Functions](
      https://arxiv.org/abs/1710.05941)

    Args:
        beta_initializer: Initializer of the slopes. Defaults to `"ones"`.
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
    from keras_strategies.layers import LearnableSwish

    model = keras.Sequential(
        [keras.Input((16,)), keras.layers.Dense(32), LearnableSwish()]
    )
    ```
    """

    def __init__(
        self, beta_initializer: Initializer = "ones", axis: int = -1, **kwargs: Any
    ) -> None:
        super().__init__(axis=axis, **kwargs)
        self.beta_initializer: keras.initializers.Initializer = initializers.get(
            beta_initializer
        )

    def build(self, input_shape: Shape) -> None:
        self.beta: keras.Variable = self.add_channel_weight(
            input_shape, "beta", self.beta_initializer
        )
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        return inputs * ops.sigmoid(self.along_axis(self.beta, inputs) * inputs)

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "beta_initializer": initializers.serialize(self.beta_initializer),
        }
