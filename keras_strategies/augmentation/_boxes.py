"""Bounding boxes under affine maps."""

from typing import Any

import keras

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
