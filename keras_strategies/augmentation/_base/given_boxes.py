"""Boxes of which a transformation depends."""

from typing import Any

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.types import Tensor
from keras_strategies.augmentation._base.image_layer import ImageLayer


def pixel_boxes(
    data: Any, box_format: str | None, layer: ImageLayer, ops: Any, target: str = "xyxy"
) -> tuple[Tensor, Tensor]:
    """Returns the boxes of a batch or a single image, as a batch, and their labels."""
    if not isinstance(data, dict) or "bounding_boxes" not in data:
        fix = "Give a dict with images and bounding_boxes."
        keys = sorted(data) if isinstance(data, dict) else type(data).__name__
        checks.fail(f"{type(layer).__name__} needs boxes", fix=fix, data=keys)
    if box_format is None:
        fix = "Give the format of the boxes, such as 'xyxy'."
        rule = "`bounding_box_format` must be given"
        checks.fail(rule, fix=fix, bounding_box_format=None)
    boxes, labels = (
        ops.convert_to_tensor(data["bounding_boxes"][key])
        for key in ("boxes", "labels")
    )
    if len(boxes.shape) == 2:
        boxes, labels = ops.expand_dims(boxes, 0), ops.expand_dims(labels, 0)
    is_channels_last = layer.data_format == "channels_last"
    shape = ops.shape(ops.convert_to_tensor(data["images"]))
    height, width = shape[-3:-1] if is_channels_last else shape[-2:]
    converted = keras.utils.bounding_boxes.convert_format(
        {"boxes": ops.cast(boxes, "float32"), "labels": labels},
        source=box_format,
        target=target,
        height=height,
        width=width,
    )
    return converted["boxes"], converted["labels"]
