"""Mosaics of four images as pure functions of uniform numbers.

A mosaic has a center `(x, y)` in whole pixels. Each quadrant shows the region of its
image that is closest to the opposite corner of that image: the image top left ends at
the center, the one bottom right begins there. The image itself is bottom right, so that
the center `(0, 0)` leaves the image unchanged.
"""

from typing import Any

import keras

from keras_strategies._internal.types import Tensor, Tensors

# Per quadrant: whether it is right of the center, and below it.
QUADRANTS = ((0, 0), (1, 0), (0, 1), (1, 1))


def layout(
    uniform: Tensor,
    height: Any,
    width: Any,
    center: tuple[float, float],
    factor: float,
    ops: Any = keras.ops,
) -> tuple[Tensor, Tensor, Tensor]:
    """Draws the partners and the center of each mosaic.

    Args:
        uniform: Tensor `(batch, 6)`: whether to mix, center x and y, three partners.
        height: Rows of the images.
        width: Columns of the images.
        center: Bounds of the center, as fractions of width and height.
        factor: Probability that an image becomes a mosaic.
        ops: Namespace of operations.

    Returns:
        `(partners, x, y)`: int32 tensors `(batch, 4)`, `(batch,)` and `(batch,)`.
    """
    batch = ops.shape(uniform)[0]
    indices = ops.arange(batch, dtype="int32")[:, None]
    drawn = ops.floor(uniform[:, 3:6] * ops.cast(batch, "float32"))
    # A uniform number just below 1 may round up to the batch size.
    drawn = ops.minimum(ops.cast(drawn, "int32"), ops.cast(batch, "int32") - 1)
    partners = ops.concatenate([drawn, indices], axis=1)
    coordinates = []
    for i, length in ((1, width), (2, height)):
        position = center[0] + (center[1] - center[0]) * uniform[:, i]
        position = ops.floor(position * ops.cast(length, "float32") + 0.5)
        position = ops.where(uniform[:, 0] < factor, position, 0.0)
        coordinates.append(ops.cast(position, "int32"))
    return partners, *coordinates


def assemble(
    images: Tensor,
    uniform: Tensor,
    center: tuple[float, float],
    factor: float,
    ops: Any = keras.ops,
) -> Tensor:
    """Returns the mosaics of images `(batch, height, width, channels)`."""
    batch, height, width, channels = ops.shape(images)
    partners, x, y = layout(uniform, height, width, center, factor, ops)
    x, y = ops.reshape(x, (-1, 1, 1)), ops.reshape(y, (-1, 1, 1))
    columns = ops.reshape(ops.arange(width, dtype="int32"), (1, 1, -1))
    rows = ops.reshape(ops.arange(height, dtype="int32"), (1, -1, 1))
    # One gather for the whole batch: source image, row and column of each pixel.
    right, below = columns >= x, rows >= y
    column = ops.where(right, columns - x, columns - x + width)
    row = ops.where(below, rows - y, rows - y + height)
    a, b, c, d = (ops.reshape(partners[:, i], (-1, 1, 1)) for i in range(4))
    source = ops.where(below, ops.where(right, d, c), ops.where(right, b, a))
    pixels = ops.reshape(images, (-1, channels))
    return ops.take(pixels, (source * height + row) * width + column, axis=0)


def area_fractions(
    x: Any, y: Any, height: Any, width: Any, ops: Any = keras.ops
) -> Tensor:
    """Returns the fraction of the area of each quadrant, `(batch, 4)`."""
    left = ops.cast(x, "float32") / ops.cast(width, "float32")
    top = ops.cast(y, "float32") / ops.cast(height, "float32")
    widths, heights = (left, 1.0 - left), (top, 1.0 - top)
    return ops.stack([widths[i] * heights[j] for i, j in QUADRANTS], axis=1)


def gather_boxes(
    boxes: Tensor,
    labels: Tensors,
    mosaic: tuple[Tensor, Tensor, Tensor],
    height: Any,
    width: Any,
    ops: Any = keras.ops,
) -> tuple[Tensor, Tensor]:
    """Returns the boxes of the four images, clipped to their quadrants.

    Args:
        boxes: Tensor `(batch, n, 4)`, `xyxy` in pixels.
        labels: Tensor `(batch, n)`.
        mosaic: The result of `layout`.
        height: Rows of the images.
        width: Columns of the images.
        ops: Namespace of operations.

    Returns:
        Tensors `(batch, 4 n, 4)` and `(batch, 4 n)`; boxes outside of their
        quadrant have the label -1.
    """
    partners, x, y = mosaic
    x, y = (ops.cast(v, "float32")[:, None] for v in (x, y))
    height, width = ops.cast(height, "float32"), ops.cast(width, "float32")
    all_boxes, all_labels = [], []
    for i, (right, below) in enumerate(QUADRANTS):
        quadrant_boxes = ops.cast(ops.take(boxes, partners[:, i], axis=0), "float32")
        quadrant_labels = ops.take(labels, partners[:, i], axis=0)
        shift_x, low_x, high_x = (x, x, width) if right else (x - width, 0.0, x)
        shift_y, low_y, high_y = (y, y, height) if below else (y - height, 0.0, y)
        x_min, x_max = (
            ops.clip(quadrant_boxes[..., k] + shift_x, low_x, high_x) for k in (0, 2)
        )
        y_min, y_max = (
            ops.clip(quadrant_boxes[..., k] + shift_y, low_y, high_y) for k in (1, 3)
        )
        is_visible = ops.logical_and(x_max > x_min, y_max > y_min)
        all_boxes.append(ops.stack([x_min, y_min, x_max, y_max], axis=-1))
        missing = ops.cast(-1, quadrant_labels.dtype)
        all_labels.append(ops.where(is_visible, quadrant_labels, missing))
    return ops.concatenate(all_boxes, axis=1), ops.concatenate(all_labels, axis=1)
