"""Squeeze-and-excitation."""

from collections.abc import Callable
from typing import Any

import keras
from keras import activations

from keras_strategies._internal import bases, checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Activation, Config, Shape, Tensor
from keras_strategies.layers import _axes, _masks


@serializable
class SqueezeExcitation(bases.Layer):
    """Reweights the channels of a feature map by its global content.

    Channel attention for the end of a block or of its residual branch. It adds about
    `2 * channels**2 / ratio` weights and almost no computation.

    ```
    s      = mean of each channel over its positions
    gate   = gate_activation(W2 activation(W1 s + b1) + b2)
    output = inputs * gate
    ```

    where `W1` has `max(channels // ratio, 1)` units and `W2` as many as channels.

    Reference:

    - [Hu et al., 2018, Squeeze-and-Excitation Networks](
      https://arxiv.org/abs/1709.01507)

    Args:
        ratio: Reduction ratio: channels of the input per hidden unit, at least 1.
            Defaults to `16`.
        activation: Activation of the hidden layer. Defaults to `"relu"`.
        gate_activation: Activation of the gate. Defaults to `"sigmoid"`;
            `"hard_sigmoid"` is faster on mobile devices.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        inputs: Tensor of rank 3 or more.
        mask: Boolean tensor `(batch, ...)`: which positions are valid; the others do
            not count. Set by Keras after a `Masking` or `Embedding` layer.

    Input shape:
        `(batch, ..., channels)` with at least one spatial axis, or channels first.

    Output shape:
        The shape of the input.

    Raises:
        ValueError: If an argument is out of range, or if the channels are unknown.

    Example:

    ```python
    import keras
    from keras_strategies.layers import SqueezeExcitation

    inputs = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(32, 3, activation="relu")(inputs)
    model = keras.Model(inputs, SqueezeExcitation(ratio=8)(x))
    ```
    """

    def __init__(
        self,
        ratio: int = 16,
        activation: Activation = "relu",
        gate_activation: Activation = "sigmoid",
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.ratio: int = checks.integer("ratio", ratio, low=1)
        self.activation: Callable[..., Any] = activations.get(activation)
        self.gate_activation: Callable[..., Any] = activations.get(gate_activation)
        self.data_format: str = _axes.data_format(data_format)
        self.supports_masking: bool = True

    def build(self, input_shape: Shape) -> None:
        kind = "SqueezeExcitation"
        rank, _ = _axes.rank_and_axis(input_shape, -1, kind, lowest=3)
        axis = _axes.channel_axis(self.data_format, rank)
        channels = _axes.static_size(input_shape, axis, kind)
        hidden_units = max(channels // self.ratio, 1)
        policy = self.dtype_policy
        self.squeeze: keras.layers.Dense = keras.layers.Dense(
            hidden_units, self.activation, name="squeeze", dtype=policy
        )
        self.excite: keras.layers.Dense = keras.layers.Dense(
            channels, self.gate_activation, name="excite", dtype=policy
        )
        self.squeeze.build((None, channels))
        self.excite.build((None, hidden_units))
        self.built = True

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        rank = len(inputs.shape)
        axis = _axes.channel_axis(self.data_format, rank)
        valid = _masks.along_positions(mask, rank, axis)
        axes = _axes.spatial_axes(self.data_format, rank)
        pooled = _masks.mean(inputs, axes, valid)
        gate = self.excite(self.squeeze(pooled))
        return inputs * _axes.gate_along(gate, rank, axis)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "ratio": self.ratio,
            "activation": activations.serialize(self.activation),
            "gate_activation": activations.serialize(self.gate_activation),
            "data_format": self.data_format,
        }
