"""Bounding boxes and keypoints under maps of the plane."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_strategies._internal.types import Tensor


def move_bounding_boxes(
    bounding_boxes: dict[str, Tensor],
    move: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    size: Any,
    ops: Any,
    points: int,
) -> Any:
    """Returns the boxes around moved outlines, clipped to the image.

    Boxes outside of the image get the label -1.

    Args:
        bounding_boxes: Dict of `boxes` `(batch, n, 4)`, `xyxy` in pixels, and `labels`.
        move: From positions `x, y`, each `(batch, m)` and 0 at the edges of the image,
            in the input to those in the output.
        size: `{"height": ..., "width": ...}` of the images.
        ops: Namespace of operations.
        points: Number of points of each side whose images a box must include.
    """
    boxes = ops.cast(bounding_boxes["boxes"], "float32")
    left, top, right, bottom = (boxes[..., i : i + 1] for i in range(4))
    steps = ops.convert_to_tensor(np.linspace(0, 1, points, dtype="float32"))
    # Exact at both ends, for the corners.
    across = left * (1.0 - steps) + right * steps
    down = top * (1.0 - steps) + bottom * steps
    still = ops.zeros_like(across)
    x = ops.concatenate([across, across, left + still, right + still], axis=-1)
    y = ops.concatenate([top + still, bottom + still, down, down], axis=-1)
    count, rows = ops.shape(boxes)[0], ops.shape(boxes)[1]
    flat = [ops.reshape(p, (count, rows * 4 * points)) for p in (x, y)]
    x, y = (ops.reshape(p, (count, rows, 4 * points)) for p in move(*flat))
    # The box around the moved outline: after a bent map corners alone are not enough.
    sides = [ops.min(x, -1), ops.min(y, -1), ops.max(x, -1), ops.max(y, -1)]
    moved = {**bounding_boxes, "boxes": ops.stack(sides, axis=-1)}
    return keras.utils.bounding_boxes.clip_to_image_size(
        moved, bounding_box_format="xyxy", **size
    )


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
