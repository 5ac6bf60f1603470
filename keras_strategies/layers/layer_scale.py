"""Trained scale of residual branches."""

from typing import Any

import keras
from keras import initializers

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Shape, Tensor
from keras_strategies.layers._channel_weights import ChannelWeights


@serializable
class LayerScale(ChannelWeights):
    """Multiplies each channel by a trained factor that is close to zero at first.

    Used at the end of a residual branch, before the addition. Each block then starts
    close to the identity and gains influence as its factors grow, which makes deep
    transformers and ConvNeXts trainable.

    ```
    output = gamma * inputs
    ```

    with one `gamma` per channel, initially `initial_value`.

    Reference:

    - [Touvron et al., 2021, Going deeper with Image Transformers](
      https://arxiv.org/abs/2103.17239)

    Args:
        initial_value: Initial value of all factors. Defaults to `1e-5`, for deep
            networks; the paper uses 0.1 for up to 18 blocks.
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
    from keras_strategies.layers import LayerScale

    inputs = keras.Input((8, 8, 16))
    x = keras.layers.Conv2D(16, 3, padding="same")(inputs)
    outputs = keras.layers.Add()([inputs, LayerScale(1e-5)(x)])
    model = keras.Model(inputs, outputs)
    ```
    """

    def __init__(
        self, initial_value: float = 1e-5, axis: int = -1, **kwargs: Any
    ) -> None:
        super().__init__(axis=axis, **kwargs)
        self.initial_value: float = checks.real("initial_value", initial_value)

    def build(self, input_shape: Shape) -> None:
        initializer = initializers.Constant(self.initial_value)
        self.gamma: keras.Variable = self.add_channel_weight(
            input_shape, "gamma", initializer
        )
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        return inputs * self.along_axis(self.gamma, inputs)

    def get_config(self) -> Config:
        return {**super().get_config(), "initial_value": self.initial_value}
