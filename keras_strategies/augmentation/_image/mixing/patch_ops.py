"""Patches of CutMix as pure functions of uniform numbers."""

from typing import Any

import keras

from keras_strategies._internal.types import Tensor, Tensors
from keras_strategies.augmentation._common.mixing import symmetric_beta


def draw_patch(
    uniform: Tensor,
    height: Any,
    width: Any,
    factor: tuple[float, float],
    ops: Any = keras.ops,
) -> Tensor:
    """Draws patches `(left, top, right, bottom)` in whole pixels, `(batch, 4)`.

    Args:
        uniform: Tensor `(batch, 6 or more)`: three for the area, its parameter, left
            and top.
        height: Rows of the images.
        width: Columns of the images.
        factor: Bounds of the parameter of the distribution.
        ops: Namespace of operations.
    """
    # As in Keras, whose bounds include 0.
    alpha = factor[0] + (factor[1] - factor[0]) * uniform[:, 3] + 1e-6
    side = ops.sqrt(1.0 - symmetric_beta(uniform[:, :3], alpha, ops))
    sides = []
    for length, number in ((width, uniform[:, 4]), (height, uniform[:, 5])):
        length = ops.cast(length, "float32")
        size = ops.floor(side * length + 0.5)
        start = ops.minimum(ops.floor(number * (length - size + 1.0)), length - size)
        sides.append((start, start + size))
    (left, right), (top, bottom) = sides
    return ops.stack([left, top, right, bottom], axis=1)


def inside_patch(
    patch: Tensor, height: Any, width: Any, ops: Any = keras.ops
) -> Tensor:
    """Returns which pixels are in the patch, booleans `(batch, height, width)`."""
    left, top, right, bottom = (ops.reshape(patch[:, i], (-1, 1, 1)) for i in range(4))
    columns = ops.reshape(ops.arange(width, dtype="float32"), (1, 1, -1))
    rows = ops.reshape(ops.arange(height, dtype="float32"), (1, -1, 1))
    across = ops.logical_and(columns >= left, columns < right)
    return ops.logical_and(across, ops.logical_and(rows >= top, rows < bottom))


def boxes_around_patch(
    boxes: Tensor,
    labels: Tensors,
    patch: Tensor,
    partners: Tensor,
    ops: Any = keras.ops,
) -> tuple[Tensor, Tensor]:
    """Returns the boxes that the patch leaves, and those of the partners in it.

    Args:
        boxes: Tensor `(batch, n, 4)`, `xyxy` in pixels.
        labels: Tensor `(batch, n)`.
        patch: The result of `draw_patch`.
        partners: Tensor `(batch,)`, the image that fills the patch.
        ops: Namespace of operations.

    Returns:
        Tensors `(batch, 2 n, 4)` and `(batch, 2 n)`; boxes that are gone have the label
        -1.
    """
    low, high = ops.expand_dims(patch[:, :2], 1), ops.expand_dims(patch[:, 2:], 1)
    covered = ops.logical_and(boxes[..., :2] >= low, boxes[..., 2:] <= high)
    missing = ops.cast(-1, labels.dtype)
    kept = ops.where(ops.all(covered, axis=-1), missing, labels)
    others = ops.take(boxes, partners, axis=0)
    start = ops.maximum(others[..., :2], low)
    end = ops.minimum(others[..., 2:], high)
    is_visible = ops.all(end > start, axis=-1)
    clipped = ops.concatenate([start, ops.maximum(end, start)], axis=-1)
    added = ops.where(is_visible, ops.take(labels, partners, axis=0), missing)
    return ops.concatenate([boxes, clipped], axis=1), ops.concatenate([kept, added], 1)
