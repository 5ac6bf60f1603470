"""Affine maps of image batches as pure functions: parameters, composition, resampling.

A map is six numbers `(a0, a1, a2, b0, b1, b2)` from a pixel of the *output* to the
position in the *input* at which it is read:

    x_in = a0 * x + a1 * y + a2        y_in = b0 * x + b1 * y + b2

with pixel centers at integers, as in `keras.ops.image.affine_transform`.
Each function takes `ops`, so that one source serves every backend and the
TensorFlow graphs of `tf.data`.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import keras

from keras_strategies._internal.types import Tensor

ORDER = ("flip", "rotation", "translation", "shear", "zoom")

PARAMETERS = (
    "angle",  # radians, positive turns counter-clockwise
    "height_shift",  # fraction of the height, positive moves down
    "width_shift",  # fraction of the width, positive moves right
    "shear_x",  # horizontal shift of the input position per row
    "shear_y",  # vertical shift of the input position per column
    "height_zoom",  # above 1 zooms out
    "width_zoom",
    "horizontal_flip",  # -1 mirrors left and right, 1 is the identity
    "vertical_flip",  # -1 mirrors top and bottom, 1 is the identity
)


def draw_parameters(
    uniform: Tensor,
    rotation: tuple[float, float],
    shift: Any,
    shear: Any,
    zoom: Any,
    flip_mode: str | None,
    lock_zoom: bool,
    ops: Any = keras.ops,
) -> Tensor:
    """Converts uniform numbers to map parameters.

    Args:
        uniform: Tensor `(batch, 10)` of numbers in `[0, 1)`: one per parameter
            and one for the common sign of the shears.
        rotation: `(lower, upper)` as fractions of a full turn.
        shift: `((lower, upper), (lower, upper))` for height and width.
        shear: `((lower, upper), (lower, upper))` for x and y.
        zoom: `((lower, upper), (lower, upper))` for height and width.
        flip_mode: `"horizontal"`, `"vertical"`, `"horizontal_and_vertical"`,
            `"half_turn"` (one number for both directions) or `None`.
        lock_zoom: Whether the width has the zoom of the height.
        ops: Namespace of operations.

    Returns:
        Tensor `(batch, 9)` with the columns of `PARAMETERS`.
    """
    angle = tuple(2 * math.pi * bound for bound in rotation)
    scales = tuple((1 + lower, 1 + upper) for lower, upper in zoom)
    ranges = (angle, *shift, *shear, *scales)
    lower = ops.convert_to_tensor([[r[0] for r in ranges]], dtype="float32")
    width = ops.convert_to_tensor([[r[1] - r[0] for r in ranges]], dtype="float32")
    values = lower + width * uniform[:, :7]
    signs = ops.where(uniform[:, 7:] < 0.5, -1.0, 1.0)
    unflipped = ops.ones_like(signs[:, :1])
    flips = {"horizontal": (0,), "vertical": (1,), "horizontal_and_vertical": (0, 1)}
    # RandomFlip("horizontal_and_vertical") of Keras: one draw for both directions.
    if flip_mode == "half_turn":
        mirrors = [signs[:, :1], signs[:, :1]]
    else:
        flipped = flips.get(flip_mode, ())
        mirrors = [signs[:, i : i + 1] if i in flipped else unflipped for i in (0, 1)]
    width_zoom = values[:, 5:6] if lock_zoom else values[:, 6:7]
    shears = values[:, 3:5] * signs[:, 2:]  # one sign for both, as in RandomShear
    columns = [values[:, :3], shears, values[:, 5:6], width_zoom]
    return ops.concatenate(columns + mirrors, axis=1)


def _compose(
    outer: tuple[Tensor, ...], inner: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """Returns the map `p -> outer(inner(p))`."""
    a0, a1, a2, b0, b1, b2 = outer
    c0, c1, c2, d0, d1, d2 = inner
    return (
        a0 * c0 + a1 * d0,
        a0 * c1 + a1 * d1,
        a0 * c2 + a1 * d2 + a2,
        b0 * c0 + b1 * d0,
        b0 * c1 + b1 * d1,
        b0 * c2 + b1 * d2 + b2,
    )


def affine_maps(
    parameters: Any,
    height: Any,
    width: Any,
    ops: Any = keras.ops,
    order: Sequence[str] = ORDER,
) -> tuple[Tensor, ...]:
    """Composes flip, rotation, translation, shear and zoom to one map per image.

    Equal to passing the image through Keras's `RandomFlip`, `RandomRotation`,
    `RandomTranslation`, `RandomShear` and `RandomZoom` in the given order with the
    same parameters. The center is the fixed point of flip, rotation and zoom, the top
    left pixel that of shear, as in those layers.

    Args:
        parameters: Tensor `(batch, 9)` with the columns of `PARAMETERS`.
        height: Rows of the image.
        width: Columns of the image.
        ops: Namespace of operations.
        order: The names of `ORDER` in the order of the operations.

    Returns:
        Tuple of six tensors `(batch,)`.
    """
    angle, down, right, shear_x, shear_y, zoom_y, zoom_x, flip_x, flip_y = (
        parameters[:, i] for i in range(len(PARAMETERS))
    )
    height, width = ops.cast(height, "float32"), ops.cast(width, "float32")
    cx, cy = (width - 1.0) / 2.0, (height - 1.0) / 2.0
    ones, zeros = ops.ones_like(angle), ops.zeros_like(angle)
    cos, sin = ops.cos(angle), ops.sin(angle)
    # The translation `c - A c` of a linear map `A` makes the center `c` a fixed point.
    flip = (flip_x, zeros, cx - cx * flip_x, zeros, flip_y, cy - cy * flip_y)
    rotate = (cos, -sin, cx - cx * cos + cy * sin, sin, cos, cy - cx * sin - cy * cos)
    # Output to input: the image moves right if positions left of a pixel are read.
    shift = (ones, zeros, -right * width, zeros, ones, -down * height)
    shear = (ones, shear_x, zeros, shear_y, ones, zeros)
    zoom = (zoom_x, zeros, cx - cx * zoom_x, zeros, zoom_y, cy - cy * zoom_y)
    steps = dict(zip(ORDER, (flip, rotate, shift, shear, zoom), strict=True))
    return functools.reduce(_compose, [steps[name] for name in order])


def invert_maps(maps: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Returns the maps from input to output positions."""
    a0, a1, a2, b0, b1, b2 = maps
    scale = 1.0 / (a0 * b1 - a1 * b0)
    c0, c1, d0, d1 = b1 * scale, -a1 * scale, -b0 * scale, a0 * scale
    return c0, c1, -(c0 * a2 + c1 * b2), d0, d1, -(d0 * a2 + d1 * b2)


def _wrap_index(index: Tensor, size: Any, fill_mode: str, ops: Any) -> Tensor:
    """Maps integer positions to `[0, size - 1]` according to the fill mode."""
    last = size - 1.0
    if fill_mode == "wrap":
        # Adding 0.5 avoids that rounding errors move an exact multiple one period back.
        index = index - size * ops.floor((index + 0.5) / size)
    elif fill_mode == "reflect":
        index = index - 2.0 * size * ops.floor((index + 0.5) / (2.0 * size))
        index = ops.minimum(index, 2.0 * size - 1.0 - index)
    return ops.clip(index, 0.0, last)


def _taps(
    position: Tensor, size: Any, interpolation: str, fill_mode: str, ops: Any
) -> list[tuple[Tensor, Tensor]]:
    """Returns the `(index, weight)` pairs that are read along one axis."""
    if interpolation == "nearest":
        taps = [(ops.floor(position + 0.5), ops.ones_like(position))]
    else:
        low = ops.floor(position)
        fraction = position - low
        taps = [(low, 1.0 - fraction), (low + 1.0, fraction)]
    size = ops.cast(size, "float32")
    pairs = []
    for index, weight in taps:
        if fill_mode == "constant":
            is_inside = ops.logical_and(index >= 0.0, index <= size - 1.0)
            weight = ops.where(is_inside, weight, 0.0)
        index = _wrap_index(index, size, fill_mode, ops)
        pairs.append((ops.cast(index, "int32"), weight))
    return pairs


def warp(
    images: Tensor,
    maps: tuple[Tensor, ...],
    interpolation: str = "bilinear",
    fill_mode: str = "reflect",
    fill_value: float = 0.0,
    ops: Any = keras.ops,
) -> Tensor:
    """Resamples each image at the positions of its map.

    Args:
        images: Tensor `(batch, height, width, channels)` of any dtype.
        maps: Tuple of six float32 tensors `(batch,)`.
        interpolation: `"nearest"` or `"bilinear"`.
        fill_mode: `"constant"`, `"nearest"`, `"reflect"` or `"wrap"`.
        fill_value: Value outside of the image for `"constant"`.
        ops: Namespace of operations.

    Returns:
        Tensor of the shape and dtype of `images`.
    """
    _, height, width, _ = ops.shape(images)
    xs = ops.reshape(ops.arange(width, dtype="float32"), (1, 1, -1))
    ys = ops.reshape(ops.arange(height, dtype="float32"), (1, -1, 1))
    a0, a1, a2, b0, b1, b2 = (ops.reshape(m, (-1, 1, 1)) for m in maps)
    positions = a0 * xs + a1 * ys + a2, b0 * xs + b1 * ys + b2
    return sample(images, positions, interpolation, fill_mode, fill_value, ops)


def sample(
    images: Tensor,
    positions: tuple[Tensor, Tensor],
    interpolation: str = "bilinear",
    fill_mode: str = "reflect",
    fill_value: float = 0.0,
    ops: Any = keras.ops,
) -> Tensor:
    """Reads each image at positions `(x, y)`, tensors `(batch, height, width)`.

    The other arguments and the result are those of `warp`.
    """
    batch, height, width, channels = ops.shape(images)
    columns = _taps(positions[0], width, interpolation, fill_mode, ops)
    rows = _taps(positions[1], height, interpolation, fill_mode, ops)
    # One gather from a flat list of pixels is faster than one along several axes.
    image_index = ops.reshape(ops.arange(batch, dtype="int32"), (-1, 1, 1))
    pixels = ops.reshape(images, (-1, channels))
    if interpolation == "nearest":
        ((y, y_weight),), ((x, x_weight),) = rows, columns
        values = ops.take(pixels, (image_index * height + y) * width + x, axis=0)
        if fill_mode != "constant":
            return values
        outside = ops.cast(fill_value, images.dtype)
        return ops.where((y_weight * x_weight)[..., None] > 0.0, values, outside)
    total = 0.0
    for y, y_weight in rows:
        line = 0.0
        for x, x_weight in columns:
            values = ops.take(pixels, (image_index * height + y) * width + x, axis=0)
            line = line + ops.cast(values, "float32") * x_weight[..., None]
        total = total + line * y_weight[..., None]
    # The weights of taps outside were set to 0: the fill value has their weight.
    if fill_mode == "constant":
        covered = (rows[0][1] + rows[1][1]) * (columns[0][1] + columns[1][1])
        total = total + fill_value * (1.0 - covered[..., None])
    return ops.cast(total, images.dtype)
