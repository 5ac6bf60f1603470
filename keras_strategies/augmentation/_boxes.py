"""Bounding boxes and keypoints under maps of the plane."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_strategies._internal.types import Tensor


def transform_bounding_boxes(
    bounding_boxes: dict[str, Tensor],
    maps: tuple[Tensor, ...],
    box_format: str,
    size: Any,
    ops: Any,
) -> Any:
    """Returns the boxes around the four transformed corners, clipped to the image.

    Boxes outside of the image get the label -1.

    Args:
        bounding_boxes: Dict of `boxes` `(batch, n, 4)` and `labels`.
        maps: Six tensors `(batch,)`, from input to output positions.
        box_format: Format of the boxes, before and after.
        size: `{"height": ..., "width": ...}` of the images.
        ops: Namespace of operations.
    """
    convert = keras.utils.bounding_boxes.convert_format
    transformed = convert(bounding_boxes, source=box_format, target="xyxy", **size)
    transformed["boxes"] = _transform(transformed["boxes"], maps, ops)
    transformed = keras.utils.bounding_boxes.clip_to_image_size(
        transformed, bounding_box_format="xyxy", **size
    )
    return convert(transformed, source="xyxy", target=box_format, **size)


def _transform(boxes: Tensor, maps: tuple[Tensor, ...], ops: Any) -> Tensor:
    a0, a1, a2, b0, b1, b2 = (ops.reshape(m, (-1, 1, 1)) for m in maps)
    # Box coordinates start at the edge of the first pixel, maps at its center.
    left, top, right, bottom = (boxes[..., i : i + 1] - 0.5 for i in range(4))
    x = ops.concatenate([left, right, left, right], axis=-1)
    y = ops.concatenate([top, top, bottom, bottom], axis=-1)
    x, y = a0 * x + a1 * y + a2 + 0.5, b0 * x + b1 * y + b2 + 0.5
    # The axis-parallel box around the corners, as the box may be rotated.
    sides = [ops.min(x, -1), ops.min(y, -1), ops.max(x, -1), ops.max(y, -1)]
    return ops.stack(sides, axis=-1)


def move_bounding_boxes(
    bounding_boxes: dict[str, Tensor],
    move: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    box_format: str,
    size: Any,
    ops: Any,
    points: int = 5,
) -> Any:
    """Returns the boxes around moved outlines, clipped to the image.

    Boxes outside of the image get the label -1.

    Args:
        bounding_boxes: Dict of `boxes` `(batch, n, 4)` and `labels`.
        move: From positions `x, y`, each `(batch, m)` and 0 at the edges of the image,
            in the input to those in the output.
        box_format: Format of the boxes, before and after.
        size: `{"height": ..., "width": ...}` of the images.
        ops: Namespace of operations.
        points: Number of points of each side whose images a box must include.
    """
    convert = keras.utils.bounding_boxes.convert_format
    moved = convert(bounding_boxes, source=box_format, target="xyxy", **size)
    boxes = ops.cast(moved["boxes"], "float32")
    left, top, right, bottom = (boxes[..., i : i + 1] for i in range(4))
    steps = ops.convert_to_tensor(np.linspace(0, 1, points, dtype="float32"))
    across, down = left + (right - left) * steps, top + (bottom - top) * steps
    still = ops.zeros_like(across)
    x = ops.concatenate([across, across, left + still, right + still], axis=-1)
    y = ops.concatenate([top + still, bottom + still, down, down], axis=-1)
    count, rows = ops.shape(boxes)[0], ops.shape(boxes)[1]
    flat = [ops.reshape(p, (count, rows * 4 * points)) for p in (x, y)]
    x, y = (ops.reshape(p, (count, rows, 4 * points)) for p in move(*flat))
    sides = [ops.min(x, -1), ops.min(y, -1), ops.max(x, -1), ops.max(y, -1)]
    moved["boxes"] = ops.stack(sides, axis=-1)
    moved = keras.utils.bounding_boxes.clip_to_image_size(
        moved, bounding_box_format="xyxy", **size
    )
    return convert(moved, source="xyxy", target=box_format, **size)


def move_keypoints(
    keypoints: Tensor,
    move: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    height: Any,
    width: Any,
    ops: Any,
) -> Tensor:
    """Returns moved keypoints; those outside of the image lose their visibility.

    Args:
        keypoints: Tensor `(batch, n, 2)` of x and y, or `(batch, n, 3)` with the
            visibility.
        move: As for boxes.
        height: Rows of the images.
        width: Columns of the images.
        ops: Namespace of operations.
    """
    x, y = move(keypoints[..., 0], keypoints[..., 1])
    if keypoints.shape[-1] == 2:
        return ops.stack([x, y], axis=-1)
    inside = [ops.logical_and(x >= 0.0, x < ops.cast(width, "float32"))]
    inside += [ops.logical_and(y >= 0.0, y < ops.cast(height, "float32"))]
    visibility = ops.where(ops.logical_and(*inside), keypoints[..., 2], 0.0)
    return ops.stack([x, y, visibility], axis=-1)


def affine_move(maps: tuple[Tensor, ...], ops: Any) -> Callable[..., Any]:
    """Returns the function of points for maps from input to output pixels."""

    def move(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        a0, a1, a2, b0, b1, b2 = (ops.reshape(m, (-1, 1)) for m in maps)
        x, y = x - 0.5, y - 0.5  # 0 is the edge of the first pixel, here its center
        return a0 * x + a1 * y + a2 + 0.5, b0 * x + b1 * y + b2 + 0.5

    return move
