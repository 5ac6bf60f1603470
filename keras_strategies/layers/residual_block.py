"""Residual blocks of ResNet and ResNet V2."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_strategies._internal import bases, checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import (
    Activation,
    Config,
    Serialized,
    Shape,
    Tensor,
)
from keras_strategies.layers import _axes, _templates
from keras_strategies.layers.stochastic_depth import StochasticDepth


@serializable
class ResidualBlock(bases.Layer):
    """Residual block of two convolutions, as in ResNet or ResNet V2.

    The block of convolutional networks, with other layers of this package as options:
    attention or `LayerScale` at the end of the branch, any normalization and
    activation, standardized weights, stochastic depth.

    ```
    post (ResNet):    output = act(shortcut + norm(conv(act(norm(conv(x))))))
    pre (ResNet V2):  output = shortcut + conv(act(norm(conv(act(norm(x))))))
    ```

    The shortcut is the input, or a 1x1 convolution of it (with normalization, or of
    `act(norm(x))` in pre-activation) where channels or size change. Layers are passed
    as
    templates: the block creates copies and does not use the instances themselves.

    Reference:

    - [He et al., 2016, Deep Residual Learning](https://arxiv.org/abs/1512.03385)
    - [He et al., 2016, Identity Mappings in Deep Residual Networks](
      https://arxiv.org/abs/1603.05027)

    Args:
        filters: Channels of the output, at least 1.
        kernel_size: Size of the filters of both convolutions. Defaults to `3`.
        strides: Strides of the first convolution, at least 1. Defaults to `1`.
        activation: Name, function or layer, such as `Snake()`. Defaults to `"relu"`.
        preactivation: Whether normalization and activation come before each
            convolution. Defaults to `False`.
        convolution: Template of the convolutions, such as
            `WeightStandardizedConv2D(1, 1)` or `keras.layers.SeparableConv1D(1, 1)`;
            the block sets its filters, kernel size, strides, padding and data format.
            Defaults to `None`: `Conv2D` without a bias, from `"he_normal"`.
        normalization: Template of the normalization; `keras.layers.Identity()` for
            none. Defaults to `None`: `BatchNormalization`.
        branch_end: Template, or list of templates, of layers after the branch, such as
            `SqueezeExcitation()` or `[DropBlock2D(0.1), LayerScale()]`. Defaults to
            `None`.
        drop_path_rate: Drop rate of stochastic depth, in `[0, 1)`. Defaults to `0.0`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`. It is not passed to templates
            other than the convolution.
        seed: Integer that makes stochastic depth reproducible, or `None`. Defaults to
            `None`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Input shape:
        `(batch, height, width, channels)` or, channels first,
        `(batch, channels, height, width)`; other ranks with another `convolution`.

    Output shape:
        The same with `filters` channels and `ceil(size / strides)` pixels.

    Raises:
        ValueError: If an argument is out of range, or if a template is built.
        TypeError: If a template is no layer.

    Example:

    ```python
    import keras
    from keras_strategies.layers import ResidualBlock, SqueezeExcitation

    x = inputs = keras.Input((16, 16, 3))
    x = ResidualBlock(8, strides=2, branch_end=SqueezeExcitation(4))(x)
    x = ResidualBlock(8, drop_path_rate=0.1, branch_end=SqueezeExcitation(4))(x)
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))
    ```
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 3,
        strides: int = 1,
        activation: Activation = "relu",
        preactivation: bool = False,
        convolution: keras.layers.Layer | Serialized | None = None,
        normalization: keras.layers.Layer | Serialized | None = None,
        branch_end: keras.layers.Layer
        | Serialized
        | Sequence[keras.layers.Layer | Serialized]
        | None = None,
        drop_path_rate: float = 0.0,
        data_format: str | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filters: int = checks.integer("filters", filters, low=1)
        self.kernel_size: int = checks.integer("kernel_size", kernel_size, low=1)
        self.strides: int = checks.integer("strides", strides, low=1)
        self.activation: Any = _templates.to_activation_template(activation)
        self.preactivation: bool = checks.boolean("preactivation", preactivation)
        self.convolution: Serialized | None = _templates.to_template(
            "convolution", convolution
        )
        self.normalization: Serialized | None = _templates.to_template(
            "normalization", normalization
        )
        ends = branch_end if isinstance(branch_end, list | tuple) else [branch_end]
        self.branch_end: list[Any] = [
            _templates.to_template("branch_end", end) for end in ends if end is not None
        ]
        self.drop_path_rate: float = checks.real(
            "drop_path_rate", drop_path_rate, low=0, high=1, high_open=True
        )
        self.data_format: str = _axes.data_format(data_format)
        self.seed: int | None = checks.integer("seed", seed, optional=True)
        self.merge: StochasticDepth = StochasticDepth(
            self.drop_path_rate, self.seed, name="merge", dtype=self.dtype_policy
        )
        self.merge_activation: keras.layers.Layer | None = None

    def _convolution(
        self, name: str, kernel_size: int, strides: int
    ) -> keras.layers.Layer:
        template = self.convolution or _templates.to_template(
            "convolution",
            keras.layers.Conv2D(1, 1, use_bias=False, kernel_initializer="he_normal"),
        )
        return _templates.create(
            template,
            name,
            self.dtype_policy,
            filters=self.filters,
            kernel_size=kernel_size,
            strides=strides,
            padding="same",
            data_format=self.data_format,
        )

    def _normalization(self, name: str) -> keras.layers.Layer:
        axis = -1 if self.data_format == "channels_last" else 1
        template = self.normalization or _templates.to_template(
            "normalization", keras.layers.BatchNormalization(axis=axis)
        )
        return _templates.create(template, name, self.dtype_policy)

    def _activation(self, name: str) -> keras.layers.Layer:
        return _templates.create_activation(self.activation, name, self.dtype_policy)

    def build(self, input_shape: Shape) -> None:
        first = self._convolution("conv_1", self.kernel_size, self.strides)
        second = self._convolution("conv_2", self.kernel_size, 1)
        norm_1, norm_2 = self._normalization("norm_1"), self._normalization("norm_2")
        act_1, act_2 = self._activation("act_1"), self._activation("act_2")
        if self.preactivation:
            self.before: list[keras.layers.Layer] = [norm_1, act_1]
            self.branch: list[keras.layers.Layer] = [first, norm_2, act_2, second]
        else:
            self.before = []
            self.branch = [first, norm_1, act_1, second, norm_2]
            self.merge_activation: keras.layers.Layer | None = act_2
        self.branch += [
            _templates.create(end, f"end_{i}", self.dtype_policy)
            for i, end in enumerate(self.branch_end)
        ]
        axis = _axes.channel_axis(self.data_format, len(input_shape))
        self.shortcut: list[keras.layers.Layer] = []
        if self.strides > 1 or input_shape[axis] != self.filters:
            self.shortcut = [self._convolution("shortcut_conv", 1, self.strides)]
            if not self.preactivation:
                self.shortcut.append(self._normalization("shortcut_norm"))
        branch_shape = _templates.build_all(self.before, input_shape)
        # In pre-activation the shortcut convolution follows `act(norm(x))`.
        shortcut_shape = branch_shape if self.preactivation else input_shape
        _templates.build_all(self.shortcut, shortcut_shape)
        shape = _templates.build_all(self.branch, branch_shape)
        self.merge.build([shape, shape])
        if self.merge_activation is not None:
            self.merge_activation.build(shape)
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        x = inputs
        for layer in self.before:
            x = layer(x)
        shortcut = x if self.shortcut else inputs
        for layer in self.shortcut:
            shortcut = layer(shortcut)
        for layer in self.branch:
            x = layer(x)
        x = self.merge([shortcut, x])
        return x if self.merge_activation is None else self.merge_activation(x)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        shape = list(input_shape)
        for axis in _axes.spatial_axes(self.data_format, len(shape)):
            if shape[axis] is not None:
                shape[axis] = -(-shape[axis] // self.strides)
        shape[_axes.channel_axis(self.data_format, len(shape))] = self.filters
        return tuple(shape)

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "activation": self.activation,
            "preactivation": self.preactivation,
            "convolution": self.convolution,
            "normalization": self.normalization,
            "branch_end": self.branch_end,
            "drop_path_rate": self.drop_path_rate,
            "data_format": self.data_format,
            "seed": self.seed,
        }
