"""Anti-aliased downsampling."""

from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from keras_strategies._internal import bases, checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Shape, Tensor
from keras_strategies.layers import _axes, _masks

_PADDINGS = ("reflect", "same", "valid")


def binomial_kernel(size: int) -> np.ndarray:
    """Returns the outer product of a row of Pascal's triangle, with sum 1."""
    row = np.array([1.0])
    for _ in range(size - 1):
        row = np.convolve(row, [1.0, 1.0])
    return np.outer(row, row) / row.sum() ** 2


def reflected(x: Tensor, before: int, after: int, axis: int) -> Tensor:
    """Mirrors the border of an axis, also of one that is shorter than the padding.

    As `numpy.pad` with `mode="reflect"`: what a mirror at each end shows, again and
    again; a single position is repeated.
    """
    size = ops.shape(x)[axis]
    if isinstance(size, int) and size > max(before, after):
        widths = [(0, 0)] * len(x.shape)
        widths[axis] = (before, after)
        return ops.pad(x, widths, mode="reflect")
    if isinstance(size, int):
        indices = np.pad(np.arange(size), (before, after), mode="reflect")
        return ops.take(x, ops.convert_to_tensor(indices, "int32"), axis=axis)
    period = ops.maximum(2 * (size - 1), 1)
    offsets = ops.abs(ops.arange(size + before + after) - before) % period
    return ops.take(x, ops.minimum(offsets, period - offsets), axis=axis)


@serializable
class BlurPooling2D(bases.Layer):
    """Blurs a feature map before downsampling it.

    Strided convolutions and poolings skip pixels and violate the sampling theorem: a
    shift of the image by one pixel changes the features. A low-pass filter before
    downsampling makes classification more stable and often more accurate. Replace

    - `Conv2D(..., strides=2)` by `Conv2D(...)`, activation, `BlurPooling2D()`;
    - `MaxPooling2D(2)` by `MaxPooling2D(2, strides=1)`, `BlurPooling2D()`;
    - `AveragePooling2D(2)` by `BlurPooling2D()`.

    Each channel is convolved with the binomial filter of `kernel_size`, for 3:

    ```
    kernel = [1 2 1]^T [1 2 1] / 16
    ```

    Reference:

    - [Zhang, 2019, Making Convolutional Networks Shift-Invariant Again](
      https://arxiv.org/abs/1904.11486)

    Args:
        kernel_size: Edge length of the filter, at least 2. Defaults to `3`; the paper
            uses 2 to 7.
        strides: Downsampling factor, at least 1. Defaults to `2`.
        padding: `"reflect"` mirrors the border as in the paper (on a map smaller than
            the filter as often as necessary, as `numpy.pad` does), `"same"` pads with
            zeros, `"valid"` does not pad. Defaults to `"reflect"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Input shape:
        `(batch, height, width, channels)` or, channels first,
        `(batch, channels, height, width)`.

    Output shape:
        The same with `ceil(size / strides)` pixels along each edge, with `"valid"`
        `ceil((size - kernel_size + 1) / strides)`.

    Raises:
        ValueError: If an argument is out of range, if the input is masked, or if the
            map is smaller than the filter with `"valid"`.

    Example:

    ```python
    import keras
    from keras_strategies.layers import BlurPooling2D

    model = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            keras.layers.Conv2D(8, 3, padding="same", activation="relu"),
            BlurPooling2D(),
        ]
    )
    ```
    """

    def __init__(
        self,
        kernel_size: int = 3,
        strides: int = 2,
        padding: Literal["reflect", "same", "valid"] = "reflect",
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.kernel_size: int = checks.integer("kernel_size", kernel_size, low=2)
        self.strides: int = checks.integer("strides", strides, low=1)
        self.padding: str = checks.choice("padding", padding, _PADDINGS)
        self.data_format: str = _axes.data_format(data_format)
        self.input_spec: Any = keras.layers.InputSpec(ndim=4)

    def build(self, input_shape: Shape) -> None:
        self.compute_output_shape(input_shape)
        self.built = True

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is not None:
            _masks.refuse(self, "its filter mixes positions with the padding")
        self.compute_output_shape(inputs.shape)
        is_channels_first = self.data_format == "channels_first"
        x = inputs
        # One image per channel: not every backend convolves channels first.
        if is_channels_first:
            _, channels, height, width = ops.shape(x)
            x = ops.reshape(x, (-1, height, width, 1))
        if self.padding != "valid":
            padding = ((self.kernel_size - 1) // 2, self.kernel_size // 2)
            if self.padding == "same":
                x = ops.pad(x, [(0, 0), padding, padding, (0, 0)])
            else:
                x = reflected(reflected(x, *padding, axis=1), *padding, axis=2)
        kernel = binomial_kernel(self.kernel_size)[:, :, None, None]
        kernel = np.repeat(kernel, x.shape[-1], axis=2)
        x = ops.depthwise_conv(
            x,
            ops.convert_to_tensor(kernel, dtype=x.dtype),
            strides=self.strides,
            padding="valid",
            data_format="channels_last",
        )
        if is_channels_first:
            _, height, width, _ = ops.shape(x)
            x = ops.reshape(x, (-1, channels, height, width))
        return x

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        shape = list(input_shape)
        border = self.kernel_size - 1 if self.padding == "valid" else 0
        for axis in _axes.spatial_axes(self.data_format, 4):
            if shape[axis] is not None and shape[axis] <= border:
                checks.fail(
                    'With padding="valid", `kernel_size` must not exceed the map',
                    kernel_size=self.kernel_size,
                    input_shape=tuple(input_shape),
                    fix='Use padding="reflect" or a smaller filter.',
                )
            if shape[axis] is not None:
                shape[axis] = -(-(shape[axis] - border) // self.strides)
        return tuple(shape)

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
        }
