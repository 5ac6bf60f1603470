"""What is taken out of images: pure functions of uniform numbers."""

import math

import keras


def _places(height, width, ops):
    """Rows `(1, height, 1)` and columns `(1, 1, width)`."""
    rows = ops.reshape(ops.arange(height, dtype="float32"), (1, -1, 1))
    return rows, ops.reshape(ops.arange(width, dtype="float32"), (1, 1, -1))


def _columns(numbers, count, ops):
    return [ops.reshape(numbers[:, i], (-1, 1, 1)) for i in range(count)]


def _between(bounds, number):
    return bounds[0] + (bounds[1] - bounds[0]) * number


def grid(uniform, height, width, unit, ratio, rotation, ops=keras.ops):
    """Where the squares of GridMask are: booleans `(batch, height, width)`.

    Args:
        uniform: Tensor `(batch, 5)` of uniform numbers: size of the unit, ratio,
            offsets in x and y, angle.
        height: Rows of the images.
        width: Columns of the images.
        unit: Bounds of the unit, as fractions of the shorter side.
        ratio: Bounds of the part of a unit's edge that is kept.
        rotation: Bounds of the angle, as fractions of a full turn.
        ops: The operations.
    """
    size, kept, x, y, angle = _columns(uniform, 5, ops)
    rows, columns = _places(height, width, ops)
    height, width = ops.cast(height, "float32"), ops.cast(width, "float32")
    side = ops.maximum(_between(unit, size) * ops.minimum(height, width), 2.0)
    angle = 2 * math.pi * _between(rotation, angle)
    rows, columns = rows - (height - 1.0) / 2.0, columns - (width - 1.0) / 2.0
    cos, sin = ops.cos(angle), ops.sin(angle)
    along = (cos * columns + sin * rows) / side + x
    down = (cos * rows - sin * columns) / side + y
    kept = _between(ratio, kept)
    inside = [part - ops.floor(part) >= kept for part in (along, down)]
    return ops.logical_and(*inside)


def holes(uniform, height, width, size, count, ops=keras.ops):
    """Where `count` rectangles are: booleans `(batch, height, width)`.

    Args:
        uniform: Tensor `(batch, 4 * count)` of uniform numbers: height, width and
            centre of each rectangle.
        height: Rows of the images.
        width: Columns of the images.
        size: Bounds of height and width, as fractions of the image; the width
            follows the height if its bounds are `None`.
        count: How many.
        ops: The operations.
    """
    rows, columns = _places(height, width, ops)
    height, width = ops.cast(height, "float32"), ops.cast(width, "float32")
    numbers = _columns(uniform, 4 * count, ops)
    inside = None
    for i in range(count):
        tall, wide, y, x = numbers[4 * i : 4 * i + 4]
        tall = _between(size[0], tall)
        wide = tall if size[1] is None else _between(size[1], wide)
        # Whole numbers of pixels around a pixel, as far as they are in the image.
        sides = [(rows, tall, height, y), (columns, wide, width, x)]
        hit = ops.logical_and(*[_covered(*side, ops) for side in sides])
        inside = hit if inside is None else ops.logical_or(inside, hit)
    return inside


def _covered(places, fraction, length, number, ops):
    extent = ops.floor(fraction * length + 0.5)
    start = ops.floor(number * length) - ops.floor(extent / 2.0)
    return ops.logical_and(places >= start, places < start + extent)


def erase(images, uniform, pattern, rate, fill_value, ops=keras.ops):
    """Fills a pattern in a share of the images.

    Args:
        images: Tensor `(batch, height, width, channels)`.
        uniform: Tensor `(batch, n)`; the first number decides whether.
        pattern: `(function, *settings)` with one of the functions above.
        rate: Share of the images.
        fill_value: What is written.
        ops: The operations.
    """
    function, *settings = pattern
    _, height, width, _ = ops.shape(images)
    marked = function(uniform[:, 1:], height, width, *settings, ops=ops)
    chosen = ops.reshape(uniform[:, 0] < rate, (-1, 1, 1))
    marked = ops.logical_and(marked, chosen)[..., None]
    return ops.where(marked, ops.cast(fill_value, images.dtype), images)


def shuffle_channels(images, uniform, groups, ops=keras.ops):
    """Puts `groups` groups of channels into the order of the uniform numbers."""
    batch, height, width, channels = ops.shape(images)
    order = ops.cast(ops.argsort(uniform, axis=-1), "int32")
    order = ops.reshape(order, (-1, 1, 1, groups, 1))
    places = ops.arange(groups, dtype="int32")
    # One comparison an output group: a gather along a tiny axis is slow under XLA.
    chosen = ops.cast(ops.equal(order, places), images.dtype)
    split = (batch, height, width, 1, groups, channels // groups)
    parts = ops.reshape(images, split)
    mixed = ops.sum(parts * chosen[..., None], axis=4)
    return ops.reshape(mixed, (batch, height, width, channels))
