import keras
from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies.layers import _axes

REDUCTIONS = {"max": ops.max, "average": ops.mean}


def pool_axis(x, bins, axis, reduce):
    """Pools `axis` into `bins` windows that cover it, whatever its length.

    Window `i` reaches from `floor(i * n / bins)` to `ceil((i + 1) * n / bins)`, so that
    none is empty: the rule of adaptive pooling.
    """
    shape = ops.shape(x)
    size = shape[axis]
    if all(isinstance(each, int) for each in shape[1:]) and size % bins == 0:
        # Windows of one size are a reduction of one tensor, less than half the work.
        split = (*shape[1:axis], bins, size // bins, *shape[axis + 1 :])
        return reduce(ops.reshape(x, (-1, *split)), axis=axis + 1)
    before = (slice(None),) * axis
    pooled = []
    for i in range(bins):
        start, end = i * size // bins, ((i + 1) * size + bins - 1) // bins
        window = x[(*before, slice(start, end))]
        pooled.append(reduce(window, axis=axis))
    return ops.stack(pooled, axis=axis)


@serializable
class SpatialPyramidPooling2D(keras.layers.Layer):
    """Pools feature maps of any size into a fixed number of values.

    Divides the map into grids of 1x1, 2x2, ... windows and pools each window, so that
    a `Dense` layer can follow although the pictures differ in size, and coarse places
    are kept where global pooling loses them. `Flatten` after it gives the vector of the
    article.

    Windows of a grid of `n` along an edge of `size` pixels:

    ```
    floor(i * size / n) ... ceil((i + 1) * size / n) - 1,   i = 0 ... n - 1
    ```

    Reference:

    - [He et al., 2014, Spatial Pyramid Pooling in Deep Convolutional Networks](
      https://arxiv.org/abs/1406.4729)

    Args:
        bins: Windows along each edge, one number a level. Defaults to `(1, 2, 4)`.
        pooling: `"max"` as in the article, or `"average"`. Defaults to `"max"`.
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
        ValueError: If an argument is out of range.

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

    def __init__(self, bins=(1, 2, 4), pooling="max", data_format=None, **kwargs):
        super().__init__(**kwargs)
        levels = bins if isinstance(bins, list | tuple) else [bins]
        if not levels:
            checks.fail("`bins` must name a level or more", bins=bins)
        self.bins = [checks.integer("bins", level, low=1) for level in levels]
        self.pooling = checks.choice("pooling", pooling, tuple(REDUCTIONS))
        self.data_format = _axes.data_format(data_format)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def call(self, inputs):
        reduce = REDUCTIONS[self.pooling]
        height, width = _axes.spatial_axes(self.data_format, 4)
        levels = []
        for bins in self.bins:
            grid = pool_axis(inputs, bins, height, reduce)
            grid = pool_axis(grid, bins, width, reduce)
            shape = list(ops.shape(grid))
            shape[height : width + 1] = [bins * bins]
            levels.append(ops.reshape(grid, [-1, *shape[1:]]))
        return ops.concatenate(levels, axis=height)

    def compute_output_shape(self, input_shape):
        shape = list(input_shape)
        height, width = _axes.spatial_axes(self.data_format, 4)
        shape[height : width + 1] = [sum(bins * bins for bins in self.bins)]
        return tuple(shape)

    def get_config(self):
        return {
            **super().get_config(),
            "bins": self.bins,
            "pooling": self.pooling,
            "data_format": self.data_format,
        }
