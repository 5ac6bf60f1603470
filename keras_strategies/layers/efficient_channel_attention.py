"""Efficient channel attention (ECA)."""

import math
from typing import Any

import keras
from keras import ops

from keras_strategies._internal import bases, checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Shape, Tensor
from keras_strategies.layers import _axes, _masks


def attention_width(channels: int, gamma: float = 2, beta: float = 1) -> int:
    """Returns the odd kernel size that the paper uses for a number of channels."""
    # As in the authors' code: truncated, and the next odd number if that is even.
    width = int(abs((math.log2(channels) + beta) / gamma))
    return width if width % 2 else width + 1


@serializable
class EfficientChannelAttention(bases.Layer):
    """Reweights channels by a convolution over neighbouring ones.

    The effect of `SqueezeExcitation` with only a few weights: one short convolution
    along the channels replaces the two dense layers, without a bottleneck.

    ```
    s      = mean of each channel over its positions
    output = inputs * sigmoid(conv1d(s, width k, along the channels))
    k      = the odd number next to (log2(channels) + 1) / 2
    ```

    Reference:

    - [Wang et al., 2020, ECA-Net](https://arxiv.org/abs/1910.03151)

    Args:
        kernel_size: Odd width of the convolution, or `None` for `k` as above.
            Defaults to `None`.
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
        ValueError: If `kernel_size` is even, or if the channels are unknown.

    Example:

    ```python
    import keras
    from keras_strategies.layers import EfficientChannelAttention

    inputs = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(32, 3, activation="relu")(inputs)
    model = keras.Model(inputs, EfficientChannelAttention()(x))
    ```
    """

    def __init__(
        self,
        kernel_size: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.kernel_size: int | None = checks.integer(
            "kernel_size", kernel_size, low=1, optional=True
        )
        if kernel_size is not None and kernel_size % 2 == 0:
            checks.fail(
                "`kernel_size` must be odd",
                kernel_size=kernel_size,
                fix="A channel has as many neighbours on both sides.",
            )
        self.data_format: str = _axes.data_format(data_format)
        self.supports_masking: bool = True

    def build(self, input_shape: Shape) -> None:
        kind = "EfficientChannelAttention"
        rank, _ = _axes.rank_and_axis(input_shape, -1, kind, lowest=3)
        axis = _axes.channel_axis(self.data_format, rank)
        channels = _axes.static_size(input_shape, axis, kind)
        self.attention: keras.layers.Conv1D = keras.layers.Conv1D(
            1,
            self.kernel_size or attention_width(channels),
            padding="same",
            data_format="channels_last",
            activation="sigmoid",
            use_bias=False,
            name="attention",
            dtype=self.dtype_policy,
        )
        self.attention.build((None, channels, 1))
        self.built = True

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        rank = len(inputs.shape)
        axis = _axes.channel_axis(self.data_format, rank)
        valid = _masks.along_positions(mask, rank, axis)
        axes = _axes.spatial_axes(self.data_format, rank)
        pooled = _masks.mean(inputs, axes, valid)
        gate = ops.squeeze(self.attention(ops.expand_dims(pooled, -1)), -1)
        return inputs * _axes.gate_along(gate, rank, axis)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "data_format": self.data_format,
        }
