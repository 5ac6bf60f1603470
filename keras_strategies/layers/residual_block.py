import keras

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies.layers import _axes, _templates
from keras_strategies.layers.stochastic_depth import StochasticDepth


@serializable
class ResidualBlock(keras.layers.Layer):
    """Two convolutions with a shortcut around them, in both orders of ResNet.

    The block of convolutional networks, with the other layers of this package as
    options: attention or `LayerScale` at the end of the branch, any normalization and
    activation, standardized weights, stochastic depth.

    ```
    post (ResNet):    output = act(shortcut + norm(conv(act(norm(conv(x))))))
    pre (ResNet V2):  output = shortcut + conv(act(norm(conv(act(norm(x))))))
    ```

    The shortcut is the input, or a 1x1 convolution of it (with normalization, or of
    `act(norm(x))` in pre-activation) where channels or size change. Layers are given as
    patterns: the block makes fresh copies and uses none of the given instances.

    Reference:

    - [He et al., 2016, Deep Residual Learning](https://arxiv.org/abs/1512.03385)
    - [He et al., 2016, Identity Mappings in Deep Residual Networks](
      https://arxiv.org/abs/1603.05027)

    Args:
        filters: Channels of the output, at least 1.
        kernel_size: Size of both filters. Defaults to `3`.
        strides: Steps of the first convolution, at least 1. Defaults to `1`.
        activation: Name, function or layer, such as `Snake()`. Defaults to `"relu"`.
        preactivation: Whether normalization and activation come before each
            convolution. Defaults to `False`.
        convolution: Pattern of the convolutions, such as
            `WeightStandardizedConv2D(1, 1)` or `keras.layers.SeparableConv1D(1, 1)`;
            the block sets its filters, kernel size, strides, padding and data format.
            Defaults to `None`: `Conv2D` without a bias, from `"he_normal"`.
        normalization: Pattern of the normalization; `keras.layers.Identity()` for none.
            Defaults to `None`: `BatchNormalization`.
        branch_end: Pattern, or list of patterns, of what follows the branch, such as
            `SqueezeExcitation()` or `[DropBlock2D(0.1), LayerScale()]`. Defaults to
            `None`.
        rate: Drop rate of stochastic depth, in `[0, 1)`. Defaults to `0.0`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`. Patterns of other layers than the
            convolution take theirs from you.
        seed: Integer that makes stochastic depth reproducible, or `None`. Defaults to
            `None`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Input shape:
        `(batch, height, width, channels)` or, channels first,
        `(batch, channels, height, width)`; other ranks with another `convolution`.

    Output shape:
        The same with `filters` channels and `ceil(size / strides)` pixels.

    Raises:
        ValueError: If an argument is out of range, or if a pattern is built.
        TypeError: If a pattern is no layer.

    Example:

    ```python
    import keras
    from keras_strategies.layers import ResidualBlock, SqueezeExcitation

    x = inputs = keras.Input((16, 16, 3))
    x = ResidualBlock(8, strides=2, branch_end=SqueezeExcitation(4))(x)
    x = ResidualBlock(8, rate=0.1, branch_end=SqueezeExcitation(4))(x)
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))
    ```
    """

    def __init__(
        self,
        filters,
        kernel_size=3,
        strides=1,
        activation="relu",
        preactivation=False,
        convolution=None,
        normalization=None,
        branch_end=None,
        rate=0.0,
        data_format=None,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters = checks.integer("filters", filters, low=1)
        self.kernel_size = checks.integer("kernel_size", kernel_size, low=1)
        self.strides = checks.integer("strides", strides, low=1)
        self.activation = _templates.keep_activation(activation)
        self.preactivation = checks.boolean("preactivation", preactivation)
        self.convolution = _templates.keep("convolution", convolution)
        self.normalization = _templates.keep("normalization", normalization)
        ends = branch_end if isinstance(branch_end, list | tuple) else [branch_end]
        self.branch_end = [
            _templates.keep("branch_end", end) for end in ends if end is not None
        ]
        self.rate = checks.real("rate", rate, low=0, high=1, high_open=True)
        self.data_format = _axes.data_format(data_format)
        self.seed = checks.integer("seed", seed, optional=True)
        self.merge = StochasticDepth(
            self.rate, self.seed, name="merge", dtype=self.dtype_policy
        )
        self.merge_activation = None

    def _convolution(self, name, kernel_size, strides):
        pattern = self.convolution or _templates.keep(
            "convolution",
            keras.layers.Conv2D(1, 1, use_bias=False, kernel_initializer="he_normal"),
        )
        return _templates.fresh(
            pattern,
            name,
            self.dtype_policy,
            filters=self.filters,
            kernel_size=kernel_size,
            strides=strides,
            padding="same",
            data_format=self.data_format,
        )

    def _normalization(self, name):
        axis = -1 if self.data_format == "channels_last" else 1
        pattern = self.normalization or _templates.keep(
            "normalization", keras.layers.BatchNormalization(axis=axis)
        )
        return _templates.fresh(pattern, name, self.dtype_policy)

    def _activation(self, name):
        return _templates.fresh_activation(self.activation, name, self.dtype_policy)

    def build(self, input_shape):
        first = self._convolution("conv_1", self.kernel_size, self.strides)
        second = self._convolution("conv_2", self.kernel_size, 1)
        norm_1, norm_2 = self._normalization("norm_1"), self._normalization("norm_2")
        act_1, act_2 = self._activation("act_1"), self._activation("act_2")
        if self.preactivation:
            self.before = [norm_1, act_1]
            self.branch = [first, norm_2, act_2, second]
        else:
            self.before = []
            self.branch = [first, norm_1, act_1, second, norm_2]
            self.merge_activation = act_2
        self.branch += [
            _templates.fresh(end, f"end_{i}", self.dtype_policy)
            for i, end in enumerate(self.branch_end)
        ]
        axis = _axes.channel_axis(self.data_format, len(input_shape))
        self.shortcut = []
        if self.strides > 1 or input_shape[axis] != self.filters:
            self.shortcut = [self._convolution("shortcut_conv", 1, self.strides)]
            if not self.preactivation:
                self.shortcut.append(self._normalization("shortcut_norm"))
        middle = _templates.build_all(self.before, input_shape)
        around = middle if self.preactivation else input_shape
        _templates.build_all(self.shortcut, around)
        shape = _templates.build_all(self.branch, middle)
        self.merge.build([shape, shape])
        if self.merge_activation is not None:
            self.merge_activation.build(shape)
        self.built = True

    def call(self, inputs):
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

    def compute_output_shape(self, input_shape):
        shape = list(input_shape)
        for axis in _axes.spatial_axes(self.data_format, len(shape)):
            if shape[axis] is not None:
                shape[axis] = -(-shape[axis] // self.strides)
        shape[_axes.channel_axis(self.data_format, len(shape))] = self.filters
        return tuple(shape)

    def get_config(self):
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
            "rate": self.rate,
            "data_format": self.data_format,
            "seed": self.seed,
        }
