"""Spatial pyramid pooling."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import keras
from keras import ops

from keras_strategies._internal import bases, checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Shape, Tensor
from keras_strategies.layers import _axes, _masks

_REDUCTIONS = {"max": ops.max, "average": ops.mean}


def pool_axis(x: Tensor, bins: int, axis: int, reduce: Callable[..., Tensor]) -> Tensor:
    """Pools `axis` of any size into `bins` windows that cover it.

    Window `i` is from `floor(i * n / bins)` to `ceil((i + 1) * n / bins)`, so that none
    is empty: the rule of adaptive pooling.
    """
    shape = ops.shape(x)
    size = shape[axis]
    if all(isinstance(length, int) for length in shape[1:]) and size % bins == 0:
        # Windows of equal size are one reduction, at less than half the time.
        split = (*shape[1:axis], bins, size // bins, *shape[axis + 1 :])
        return reduce(ops.reshape(x, (-1, *split)), axis=axis + 1)
    leading = (slice(None),) * axis
    pooled = []
    for i in range(bins):
        start, end = i * size // bins, ((i + 1) * size + bins - 1) // bins
        window = x[(*leading, slice(start, end))]
        pooled.append(reduce(window, axis=axis))
    return ops.stack(pooled, axis=axis)


@serializable
class SpatialPyramidPooling2D(bases.Layer):
    """Pools feature maps of any size into a fixed number of values.

    Divides the map into grids of 1x1, 2x2, ... windows and pools each window, so that a
    `Dense` layer can process images of different sizes, and coarse positions are
    preserved, unlike in global pooling. `Flatten` after it gives the vector of the
    paper.

    Windows of a grid of `n` along an edge of `size` pixels:

    ```
    floor(i * size / n) ... ceil((i + 1) * size / n) - 1,   i = 0 ... n - 1
    ```

    Reference:

    - [He et al., 2014, Spatial Pyramid Pooling in Deep Convolutional Networks](
      https://arxiv.org/abs/1406.4729)

    Args:
        bins: Windows along each edge, one number per level. Defaults to `(1, 2, 4)`.
        pooling: `"max"` as in the paper, or `"average"`. Defaults to `"max"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to
            `keras.config.image_data_format()`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Input shape:
        `(batch, height, width, channels)` or, channels first,
        `(batch, channels, height, width)`; height and width may be unknown.

    Output shape:
        `(batch, windows, channels)` or, channels first, `(batch, channels, windows)`
        with `windows = sum of bins**2`, level by level and row by row.

    Raises:
        ValueError: If an argument is out of range, or if the input is masked.

    Example:

    ```python
    import keras
    from keras_strategies.layers import SpatialPyramidPooling2D

    model = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            keras.layers.Conv2D(16, 3, activation="relu"),
            SpatialPyramidPooling2D((1, 2, 4)),
            keras.layers.Flatten(),
            keras.layers.Dense(10),
        ]
    )
    ```
    """

    def __init__(
        self,
        bins: int | Sequence[int] = (1, 2, 4),
        pooling: Literal["max", "average"] = "max",
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        levels = bins if isinstance(bins, list | tuple) else [bins]
        if not levels:
            checks.fail("`bins` must name a level or more", bins=bins)
        self.bins: list[int] = [
            checks.integer("bins", level, low=1) for level in levels
        ]
        self.pooling: str = checks.choice("pooling", pooling, tuple(_REDUCTIONS))
        self.data_format: str = _axes.data_format(data_format)
        self.input_spec: Any = keras.layers.InputSpec(ndim=4)

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is not None:
            _masks.refuse(self, "its windows are parts of the map with the padding")
        reduce = _REDUCTIONS[self.pooling]
        height, width = _axes.spatial_axes(self.data_format, 4)
        levels = []
        for bins in self.bins:
            grid = pool_axis(inputs, bins, height, reduce)
            grid = pool_axis(grid, bins, width, reduce)
            shape = list(ops.shape(grid))
            shape[height : width + 1] = [bins * bins]
            levels.append(ops.reshape(grid, [-1, *shape[1:]]))
        return ops.concatenate(levels, axis=height)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        shape = list(input_shape)
        height, width = _axes.spatial_axes(self.data_format, 4)
        shape[height : width + 1] = [sum(bins * bins for bins in self.bins)]
        return tuple(shape)

    def get_config(self) -> Config:
        return {
            **super().get_config(),
            "bins": self.bins,
            "pooling": self.pooling,
            "data_format": self.data_format,
        }
