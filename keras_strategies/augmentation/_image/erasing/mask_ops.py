"""Pixel masks and channel shuffling as pure functions of uniform numbers."""

import math
from typing import Any

import keras

from keras_strategies._internal.types import Tensor


def _pixel_coordinates(height: Any, width: Any, ops: Any) -> tuple[Tensor, Tensor]:
    """Returns rows `(1, height, 1)` and columns `(1, 1, width)`."""
    rows = ops.reshape(ops.arange(height, dtype="float32"), (1, -1, 1))
    return rows, ops.reshape(ops.arange(width, dtype="float32"), (1, 1, -1))


def _columns(numbers: Tensor, count: int, ops: Any) -> list[Tensor]:
    """Returns the columns of `(batch, n)`, broadcastable to `(batch, h, w)`."""
    return [ops.reshape(numbers[:, i], (-1, 1, 1)) for i in range(count)]


def _between(bounds: tuple[float, float], number: Tensor) -> Tensor:
    """Maps a number in [0, 1) to a range."""
    return bounds[0] + (bounds[1] - bounds[0]) * number


def grid(
    uniform: Tensor,
    height: Any,
    width: Any,
    unit: tuple[float, float],
    ratio: tuple[float, float],
    rotation: tuple[float, float],
    ops: Any = keras.ops,
) -> Tensor:
    """Returns the squares of GridMask, booleans `(batch, height, width)`.

    Args:
        uniform: Tensor `(batch, 5)` of uniform numbers: size of the unit, ratio,
            offsets in x and y, angle.
        height: Rows of the images.
        width: Columns of the images.
        unit: Bounds of the unit, as fractions of the shorter side.
        ratio: Bounds of the kept fraction of a unit's edge.
        rotation: Bounds of the angle, as fractions of a full turn.
        ops: Namespace of operations.
    """
    size, ratio_number, x, y, angle = _columns(uniform, 5, ops)
    rows, columns = _pixel_coordinates(height, width, ops)
    height, width = ops.cast(height, "float32"), ops.cast(width, "float32")
    # At least two pixels: a smaller unit would have no pixel to keep or remove.
    side = ops.maximum(_between(unit, size) * ops.minimum(height, width), 2.0)
    angle = 2 * math.pi * _between(rotation, angle)
    rows, columns = rows - (height - 1.0) / 2.0, columns - (width - 1.0) / 2.0
    cos, sin = ops.cos(angle), ops.sin(angle)
    # Coordinates in the rotated and shifted grid, in units.
    u = (cos * columns + sin * rows) / side + x
    v = (cos * rows - sin * columns) / side + y
    kept_ratio = _between(ratio, ratio_number)
    removed = [axis - ops.floor(axis) >= kept_ratio for axis in (u, v)]
    return ops.logical_and(*removed)


def holes(
    uniform: Tensor,
    height: Any,
    width: Any,
    size: Any,
    count: int,
    ops: Any = keras.ops,
) -> Tensor:
    """Returns the union of `count` rectangles, booleans `(batch, height, width)`.

    Args:
        uniform: Tensor `(batch, 4 * count)` of uniform numbers: height, width and
            center of each rectangle.
        height: Rows of the images.
        width: Columns of the images.
        size: Bounds of height and width, as fractions of the image; the width is the
            same fraction as the height if its bounds are `None`.
        count: Number of rectangles.
        ops: Namespace of operations.
    """
    rows, columns = _pixel_coordinates(height, width, ops)
    height, width = ops.cast(height, "float32"), ops.cast(width, "float32")
    numbers = _columns(uniform, 4 * count, ops)
    mask = None
    for i in range(count):
        h, w, y, x = numbers[4 * i : 4 * i + 4]
        h = _between(size[0], h)
        w = h if size[1] is None else _between(size[1], w)
        # Whole pixels around a pixel; the image clips what is outside.
        sides = [(rows, h, height, y), (columns, w, width, x)]
        rectangle = ops.logical_and(*[_covered(*side, ops) for side in sides])
        mask = rectangle if mask is None else ops.logical_or(mask, rectangle)
    return mask


def _covered(
    coordinates: Tensor, fraction: Tensor, length: Tensor, number: Tensor, ops: Any
) -> Tensor:
    """Returns which coordinates of an axis are in an interval of it."""
    extent = ops.floor(fraction * length + 0.5)
    start = ops.floor(number * length) - ops.floor(extent / 2.0)
    return ops.logical_and(coordinates >= start, coordinates < start + extent)


def erase(
    images: Tensor,
    uniform: Tensor,
    mask: tuple[Any, ...],
    factor: float,
    fill_value: float,
    ops: Any = keras.ops,
) -> Tensor:
    """Fills the pixels of a mask in a random fraction of the images.

    Args:
        images: Tensor `(batch, height, width, channels)`.
        uniform: Tensor `(batch, n)`; the first number decides whether to fill.
        mask: `(function, *settings)` with one of the functions above.
        factor: Probability that an image is changed.
        fill_value: Value that is written.
        ops: Namespace of operations.
    """
    function, *settings = mask
    _, height, width, _ = ops.shape(images)
    removed = function(uniform[:, 1:], height, width, *settings, ops=ops)
    is_active = ops.reshape(uniform[:, 0] < factor, (-1, 1, 1))
    removed = ops.logical_and(removed, is_active)[..., None]
    return ops.where(removed, ops.cast(fill_value, images.dtype), images)


def shuffle_channels(
    images: Tensor, uniform: Tensor, groups: int, ops: Any = keras.ops
) -> Tensor:
    """Reorders groups of channels by the ranks of the uniform numbers."""
    batch, height, width, channels = ops.shape(images)
    order = ops.cast(ops.argsort(uniform, axis=-1), "int32")
    order = ops.reshape(order, (-1, 1, 1, groups, 1))
    # A product with a permutation matrix: a gather along a tiny axis is slow with XLA.
    permutation = ops.equal(order, ops.arange(groups, dtype="int32"))
    permutation = ops.cast(permutation, images.dtype)
    split = (batch, height, width, 1, groups, channels // groups)
    grouped = ops.reshape(images, split)
    shuffled = ops.sum(grouped * permutation[..., None], axis=4)
    return ops.reshape(shuffled, (batch, height, width, channels))
