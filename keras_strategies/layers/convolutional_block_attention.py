"""Convolutional block attention module (CBAM)."""

from typing import Any

import keras
from keras import ops

from keras_strategies._internal import bases, checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Shape, Tensor
from keras_strategies.layers import _axes, _masks


@serializable
class ConvolutionalBlockAttention(bases.Layer):
    """CBAM: reweights first the channels, then the positions of a feature map.

    Channels encode what is in the image, positions where it is. For the end of a
    convolutional block or of its residual branch.

    ```
    c = sigmoid(mlp(mean over positions) + mlp(maximum over positions))
    x = inputs * c
    p = sigmoid(conv2d([mean over channels, maximum over channels]))
    output = x * p
    ```

    where `mlp` has `max(channels // ratio, 1)` hidden units with ReLU and is the same
    for both, and the convolution has no bias.

    Reference:

    - [Woo et al., 2018, CBAM](https://arxiv.org/abs/1807.06521)

    Args:
        ratio: Reduction ratio: channels of the input per hidden unit, at least 1.
            Defaults to `16`.
        kernel_size: Edge length of the spatial convolution, at least 1. Defaults to
            `7`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        inputs: Tensor of rank 4.
        mask: Boolean tensor `(batch, ...)`: which positions are valid; the others do
            not count. Set by Keras after a `Masking` or `Embedding` layer.

    Input shape:
        `(batch, height, width, channels)` or, channels first,
        `(batch, channels, height, width)`.

    Output shape:
        The shape of the input.

    Raises:
        ValueError: If an argument is out of range, or if the channels are unknown.

    Example:

    ```python
    import keras
    from keras_strategies.layers import ConvolutionalBlockAttention

    inputs = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(32, 3, activation="relu")(inputs)
    model = keras.Model(inputs, ConvolutionalBlockAttention(ratio=8)(x))
    ```
    """

    def __init__(
        self,
        ratio: int = 16,
        kernel_size: int = 7,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.ratio: int = checks.integer("ratio", ratio, low=1)
        self.kernel_size: int = checks.integer("kernel_size", kernel_size, low=1)
        self.data_format: str = _axes.data_format(data_format)
        self.input_spec: Any = keras.layers.InputSpec(ndim=4)
        self.supports_masking: bool = True

    def build(self, input_shape: Shape) -> None:
        axis = _axes.channel_axis(self.data_format, 4)
        channels = _axes.static_size(input_shape, axis, "ConvolutionalBlockAttention")
        hidden_units = max(channels // self.ratio, 1)
        policy = self.dtype_policy
        # On CPUs Torch cannot derive a float16 convolution by a kernel of one filter
        # ("slow_conv2d: grad_weight must be contiguous", 2.13).
        spatial_policy = "float32" if self.compute_dtype == "float16" else policy
        self.hidden: keras.layers.Dense = keras.layers.Dense(
            hidden_units, "relu", name="hidden", dtype=policy
        )
        self.channels: keras.layers.Dense = keras.layers.Dense(
            channels, name="channels", dtype=policy
        )
        self.spatial: keras.layers.Conv2D = keras.layers.Conv2D(
            1,
            self.kernel_size,
            padding="same",
            data_format=self.data_format,
            activation="sigmoid",
            use_bias=False,
            name="spatial",
            dtype=spatial_policy,
        )
        self.hidden.build((None, channels))
        self.channels.build((None, hidden_units))
        # Mean and maximum over the channels are its two input channels.
        spatial_shape = [None] * 4
        spatial_shape[axis] = 2
        self.spatial.build(tuple(spatial_shape))
        self.built = True

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        axis = _axes.channel_axis(self.data_format, 4)
        axes = _axes.spatial_axes(self.data_format, 4)
        valid = _masks.along_positions(mask, 4, axis)
        pooled = (
            _masks.mean(inputs, axes, valid),
            _masks.maximum(inputs, axes, valid),
        )
        average, maximum = (self.channels(self.hidden(p)) for p in pooled)
        gate = ops.sigmoid(average + maximum)
        x = inputs * _axes.gate_along(gate, 4, axis)
        maps = [
            ops.mean(x, axis=axis, keepdims=True),
            ops.max(x, axis=axis, keepdims=True),
        ]
        # Masked positions are to the convolution what is outside of the map.
        maps = _masks.zero_masked(ops.concatenate(maps, axis=axis), valid)
        return x * ops.cast(self.spatial(maps), self.compute_dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "ratio": self.ratio,
            "kernel_size": self.kernel_size,
            "data_format": self.data_format,
        }
