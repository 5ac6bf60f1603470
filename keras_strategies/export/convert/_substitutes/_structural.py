"""Operations on axes that LiteRT lacks: shifts, pooling, resizing, products."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def roll(shifts: Sequence[int], axes: Sequence[int]) -> Any:
    """Returns a function that cuts each axis in two and joins the parts in turn."""

    def function(x: Any, *_: Any) -> Any:
        import tensorflow as tf

        for shift, axis in zip(shifts, axes, strict=True):
            size = tf.shape(x)[axis]
            cut = size - tf.math.floormod(shift, tf.maximum(size, 1))
            first = [slice(None)] * (axis % len(x.shape) if axis < 0 else axis)
            x = tf.concat(
                [x[(*first, slice(cut, None))], x[(*first, slice(None, cut))]], axis
            )
        return x

    return function


def pool_3d(settings: Mapping[str, Any], is_max: bool) -> Any:
    """Returns a pooling of three axes as one of two, then of one.

    The maximum of a box is that of the maxima of its slices, and so is the mean, also
    where "SAME" leaves the padding out: the entries that count form a box.
    """
    _, depth, height, width, _ = settings["ksize"]
    _, step_d, step_h, step_w, _ = settings["strides"]
    padding = settings["padding"].decode()

    def function(x: Any) -> Any:
        import tensorflow as tf

        pool = tf.nn.max_pool2d if is_max else tf.nn.avg_pool2d
        shape = tf.shape(x)
        # Slices of all images as one batch, pooled in their plane; then rows of pooled
        # pixels as the columns of an image, pooled along the depth.
        slices = tf.reshape(x, tf.concat([[shape[0] * shape[1]], shape[2:]], 0))
        slices = tf.ensure_shape(slices, [None, *x.shape[2:]])
        slices = pool(slices, (height, width), (step_h, step_w), padding)
        flat = tf.shape(slices)
        columns = tf.reshape(
            slices, [shape[0], shape[1], flat[1] * flat[2], x.shape[-1]]
        )
        pooled = pool(columns, (depth, 1), (step_d, 1), padding)
        return tf.reshape(
            pooled, [shape[0], tf.shape(pooled)[1], flat[1], flat[2], x.shape[-1]]
        )

    return function


def resize(
    sizes: Sequence[int],
    kernel: str,
    is_antialiased: bool,
    levels: int | None = None,
) -> Any:
    """Returns a resizing of images as two products with matrices of weights.

    The weights are those of `ScaleAndTranslate`, on which `tf.image.resize` stands for
    antialiasing and for kernels other than the bilinear and the bicubic one.

    Args:
        sizes: New height and width.
        kernel: A key of the table of radii, or `"area"`.
        is_antialiased: Whether the kernel widens where the image shrinks.
        levels: Steps between two pixels that positions are rounded to, as
            `ResizeBicubic` does. Defaults to `None`, exact positions.
    """

    def function(x: Any, *_: Any) -> Any:
        import tensorflow as tf

        _, height, width, _ = x.shape
        rows = resize_weights(height, sizes[0], kernel, is_antialiased, levels)
        columns = resize_weights(width, sizes[1], kernel, is_antialiased, levels)
        # (b, h, w, c): the rows first, then the columns, as matrix products.
        x = tf.cast(x, tf.float32)
        by_row = tf.transpose(x, [0, 3, 2, 1]) @ tf.constant(rows.T)
        return tf.transpose(
            tf.transpose(by_row, [0, 1, 3, 2]) @ tf.constant(columns.T), [0, 2, 3, 1]
        )

    return function


_RADIUS = {
    "lanczos1": 1.0,
    "lanczos3": 3.0,
    "lanczos5": 5.0,
    "gaussian": 1.5,
    "box": 1.0,
    "triangle": 1.0,
    "keyscubic": 2.0,
    "mitchellcubic": 2.0,
}


def resize_weights(
    size: int,
    new_size: int,
    kernel: str,
    is_antialiased: bool,
    levels: int | None = None,
) -> np.ndarray:
    """Returns the weights of each old position in each new one, (new, old)."""
    # Centers of pixels are at halves, as in `tf.image.resize` with
    # `half_pixel_centers`.
    scale = size / new_size
    if kernel == "area":
        return _overlaps(size, new_size)
    kernel_scale = max(scale, 1.0) if is_antialiased else 1.0
    radius = _RADIUS[kernel]
    weights = np.zeros((new_size, size))
    for row in range(new_size):
        center = (row + 0.5) * scale
        if levels is not None:
            whole = math.floor(center - 0.5)
            fraction = round((center - 0.5 - whole) * levels) / levels
            center = whole + fraction + 0.5
        low = max(math.ceil(center - radius * kernel_scale - 0.5), 0)
        high = min(math.floor(center + radius * kernel_scale - 0.5), size - 1)
        for column in range(low, high + 1):
            distance = abs(column + 0.5 - center) / kernel_scale
            weights[row, column] = _kernel(kernel, distance)
        total = weights[row].sum()
        if abs(total) > 1e-9:
            weights[row] /= total
    return weights.astype("float32")


def _overlaps(size, new_size):
    """Parts of each new interval that the old ones cover, (new, old)."""
    edges = np.arange(new_size + 1) * (size / new_size)
    old = np.arange(size)
    low = np.maximum(edges[:-1, None], old)
    high = np.minimum(edges[1:, None], old + 1)
    covered = np.maximum(high - low, 0)
    return (covered / covered.sum(axis=1, keepdims=True)).astype("float32")


def _kernel(kernel, x):
    """Weight at the distance `x` from the center."""
    if kernel.startswith("lanczos"):
        radius = _RADIUS[kernel]
        if x >= radius:
            return 0.0
        if x <= 1e-3:
            return 1.0
        return (
            radius
            * math.sin(math.pi * x)
            * math.sin(math.pi * x / radius)
            / (math.pi * x) ** 2
        )
    if kernel == "gaussian":
        sigma = 0.5
        return math.exp(-(x * x) / (2 * sigma * sigma)) if x < 1.5 else 0.0
    if kernel == "box":
        return 1.0 if x < 0.5 else 0.5 if x == 0.5 else 0.0
    if kernel == "triangle":
        return max(0.0, 1.0 - x)
    if kernel == "keyscubic":
        if x < 1:
            return ((1.5 * x - 2.5) * x) * x + 1.0
        return ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0 if x < 2 else 0.0
    if x < 1:  # Mitchell's
        return (((7.0 * x - 12.0) * x) * x + 16.0 / 3.0) / 6.0
    if x < 2:
        return (((-7.0 / 3.0 * x + 12.0) * x - 20.0) * x + 32.0 / 3.0) / 6.0
    return 0.0


def transposed_convolution(settings: Mapping[str, Any]) -> Any:
    """Returns a transposed convolution whose dilated kernel is written out."""
    _, dilation_h, dilation_w, _ = settings["dilations"]
    strides, padding = settings["strides"], settings["padding"].decode()

    def function(size: Any, kernel: Any, x: Any) -> Any:
        import tensorflow as tf

        for axis, dilation in ((0, dilation_h), (1, dilation_w)):
            kernel = _spread(kernel, axis, dilation)
        return tf.raw_ops.Conv2DBackpropInput(
            input_sizes=size,
            filter=kernel,
            out_backprop=x,
            strides=strides,
            padding=padding,
        )

    return function


def _spread(kernel, axis, dilation):
    """Puts `dilation - 1` zeros between the entries of an axis."""
    import tensorflow as tf

    if dilation == 1:
        return kernel
    size = kernel.shape[axis]
    places = np.zeros(((size - 1) * dilation + 1, size), "float32")
    places[np.arange(size) * dilation, np.arange(size)] = 1
    spread = tf.tensordot(tf.constant(places), kernel, [[1], [axis]])
    return _moved_first_axis(spread, axis)


def _moved_first_axis(x, axis):
    import tensorflow as tf

    order = list(range(1, len(x.shape)))
    order.insert(axis, 0)
    return tf.transpose(x, order)


def cumulative_product(axis: int, exclusive: bool, reverse: bool) -> Any:
    """Returns a running product in log2(n) steps, each with the one before it.

    After step `k` each entry holds the product of the last `2^k` ones (Hillis and
    Steele, 1986).
    """

    def function(x: Any, *_: Any) -> Any:
        import tensorflow as tf

        size = x.shape[axis]
        x = tf.reverse(x, [axis]) if reverse else x
        if exclusive:
            x = _moved_on(x, axis, 1, size)
        step = 1
        while step < size:
            x = x * _moved_on(x, axis, step, size)
            step *= 2
        return tf.reverse(x, [axis]) if reverse else x

    return function


def _moved_on(x, axis, step, size):
    """Moves the entries of an axis on by `step`, behind as many ones."""
    import tensorflow as tf

    rest = [slice(None)] * axis
    ones = tf.ones_like(x[(*rest, slice(0, step))])
    return tf.concat([ones, x[(*rest, slice(0, size - step))]], axis)


def insertion_points(is_lower: bool, dtype: str) -> Any:
    """Returns the number of sorted values below each value, or not above it."""

    def function(ordered: Any, values: Any) -> Any:
        import tensorflow as tf

        first, second = ordered[:, None, :], values[:, :, None]
        is_before = first < second if is_lower else first <= second
        return tf.cast(tf.reduce_sum(tf.cast(is_before, tf.int32), axis=2), dtype)

    return function


def rgb_to_hsv(x: Any) -> Any:
    """Returns hue, saturation and value, in the formula of TensorFlow's kernel."""
    import tensorflow as tf

    red, green, blue = x[..., 0], x[..., 1], x[..., 2]
    value = tf.reduce_max(x, axis=-1)
    spread = value - tf.reduce_min(x, axis=-1)
    is_gray = spread <= 0
    factor = 1.0 / (6.0 * tf.where(is_gray, tf.ones_like(spread), spread))
    hue = tf.where(
        tf.equal(value, red),
        factor * (green - blue),
        tf.where(
            tf.equal(value, green),
            factor * (blue - red) + 2.0 / 6.0,
            factor * (red - green) + 4.0 / 6.0,
        ),
    )
    hue = tf.where(is_gray, tf.zeros_like(hue), tf.where(hue < 0, hue + 1.0, hue))
    is_black = value <= 0
    saturation = tf.where(
        is_black, tf.zeros_like(value), spread / tf.where(is_black, 1.0, value)
    )
    return tf.stack([hue, saturation, value], axis=-1)


def determinant(x: Any) -> Any:
    """Returns the determinants of matrices of at most three rows, written out."""

    def minor(rows, columns):
        if not columns:
            return 1.0
        first, *rest = rows
        total = None
        for index, column in enumerate(columns):
            others = [entry for entry in columns if entry != column]
            term = x[..., first, column] * minor(rest, others)
            total = (
                term if total is None else total - term if index % 2 else total + term
            )
        return total

    return minor(*([list(range(x.shape[-1]))] * 2))


def projected_image(
    shape: Sequence[int], sizes: Sequence[int], transform: Sequence[float], how: str
) -> Any:
    """Returns a projection of images, whose pixels are looked up at fixed positions.

    Args:
        shape: Height and width of the images.
        sizes: Those of the result.
        transform: `(a0, a1, a2, b0, b1, b2, c0, c1)`: the result's pixel (x, y) is that
            of ((a0 x + a1 y + a2) / k, (b0 x + b1 y + b2) / k), k = c0 x + c1 y + 1.
        how: `"BILINEAR"` or `"NEAREST"`.
    """
    entries = lookups(shape, sizes, transform, how)

    def function(images: Any, transforms: Any, size: Any, fill: Any) -> Any:
        import tensorflow as tf

        height, width, channels = images.shape[1:]
        flat = tf.reshape(images, [-1, height * width, channels])
        total, inside = 0.0, np.zeros(sizes[0] * sizes[1], "float32")
        for indices, weights in entries:
            part = tf.gather(flat, tf.constant(indices, tf.int32), axis=1)
            total += part * tf.constant(weights[None, :, None])
            inside += weights
        total += fill * tf.constant(1 - inside[None, :, None])
        return tf.reshape(total, [-1, *sizes, channels])

    return function


def lookups(
    shape: Sequence[int], sizes: Sequence[int], transform: Sequence[float], how: str
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns `(pixel numbers, weights)` of each neighbour; outside the weight is 0."""
    rows, columns = (grid.ravel() for grid in np.mgrid[: sizes[0], : sizes[1]])
    a0, a1, a2, b0, b1, b2, c0, c1 = np.float64(transform)
    scale = c0 * columns + c1 * rows + 1.0
    x = (a0 * columns + a1 * rows + a2) / scale
    y = (b0 * columns + b1 * rows + b2) / scale
    if how == "NEAREST":
        ends = [(np.floor(x + 0.5), np.floor(y + 0.5), np.ones_like(x))]
    else:
        left, top = np.floor(x), np.floor(y)
        ends = [
            (left + i, top + j, (1 - np.abs(x - left - i)) * (1 - np.abs(y - top - j)))
            for i in (0, 1)
            for j in (0, 1)
        ]
    result = []
    for column, row, weight in ends:
        is_inside = (column >= 0) & (column < shape[1]) & (row >= 0) & (row < shape[0])
        number = np.where(is_inside, row * shape[1] + column, 0).astype("int32")
        result.append((number, np.where(is_inside, weight, 0.0).astype("float32")))
    return result
