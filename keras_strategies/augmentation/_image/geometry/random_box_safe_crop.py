"""Crops that keep all boxes."""

from typing import Any, Literal

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import backend_ops
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Tensor, Tensors
from keras_strategies.augmentation._base.given_boxes import pixel_boxes
from keras_strategies.augmentation._image.geometry.distortions import (
    crop_source,
    crop_target,
)
from keras_strategies.augmentation._image.geometry.geometric_layer import GeometricLayer


@serializable
class RandomBoxSafeCrop(GeometricLayer):
    """Crops images at random without cutting a bounding box.

    For detection: Keras's `RandomCrop` cuts objects or loses them. Each side of the
    crop is drawn uniformly between the edge of the image and the outermost box, and the
    crop is resized to the whole image. An image without boxes (all labels -1) is
    cropped around a random point.

    Reference: Buslaev et al., 2020, [Albumentations: Fast and Flexible Image
    Augmentations](https://doi.org/10.3390/info11020125) (`RandomSizedBBoxSafeCrop`).

    Works in a model, called directly, and in `tf.data` pipelines on every backend.
    Active in training only. Of a dict with `images`, `segmentation_masks`,
    `bounding_boxes` and `keypoints` (x and y in pixels, with or without a visibility)
    all follow.

    Args:
        factor: Probability that an image is cropped, in `[0, 1]`. Defaults to `1.0`.
        margin: What remains around the boxes at least, as a fraction of the image, in
            `[0, 1]`. Defaults to `0.0`.
        interpolation: `"bilinear"` or `"nearest"`; masks are always read nearest.
            Defaults to `"bilinear"`.
        seed: Integer that makes the draws reproducible, or `None`.
            Defaults to `None`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to Keras's
            `image_data_format`.
        bounding_box_format: Format of the boxes, such as `"xyxy"` or `"rel_xywh"`.
            Defaults to `None`; `call` needs it.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        data: A dict with the keys `images` and `bounding_boxes`.
        training: Whether to transform images. Defaults to `True`, as for Keras's
            random layers.

    Input shape:
        `(height, width, channels)` or `(batch, height, width, channels)` with
        `"channels_last"`, channels before height with `"channels_first"`.

    Output shape:
        The same.

    Raises:
        ValueError: If an argument is outside its range or boxes are missing.

    Example:

    ```python
    import numpy as np
    from keras_strategies.augmentation import RandomBoxSafeCrop

    crop = RandomBoxSafeCrop(bounding_box_format="xyxy")
    batch = {
        "images": np.random.rand(4, 32, 32, 3),
        "bounding_boxes": {
            "boxes": np.array([[[8.0, 8.0, 20.0, 24.0]]] * 4),
            "labels": np.ones((4, 1)),
        },
    }
    cropped = crop(batch)
    ```
    """

    _DRAWS = 7
    _SOURCE = staticmethod(crop_source)
    _TARGET = staticmethod(crop_target)

    def __init__(
        self,
        factor: float = 1.0,
        margin: float = 0.0,
        interpolation: Literal["nearest", "bilinear"] = "bilinear",
        seed: int | None = None,
        data_format: str | None = None,
        bounding_box_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            interpolation,
            "nearest",  # only for the outer half of a pixel
            0.0,
            seed=seed,
            data_format=data_format,
            bounding_box_format=bounding_box_format,
            **kwargs,
        )
        self.factor: float = checks.real("factor", factor, low=0, high=1)
        self.margin: float = checks.real("margin", margin, low=0, high=1)

    def _draw_more(
        self, data: Tensors, drawn: dict[str, Any], seed: Any
    ) -> dict[str, Any]:
        ops = backend_ops(self.backend)
        box_format = self.bounding_box_format
        boxes, labels = pixel_boxes(data, box_format, self, ops, "rel_xyxy")
        settings = self.factor, self.margin
        return {"window": window(drawn["uniform"], boxes, labels, *settings, ops)}

    def _numbers(self, transformation: Any) -> Tensor:
        return transformation["window"]

    def get_config(self) -> Config:
        names = ("factor", "margin")
        config = {**super().get_config(), **{n: getattr(self, n) for n in names}}
        return {k: v for k, v in config.items() if k not in ("fill_mode", "fill_value")}


def window(
    uniform: Tensor,
    boxes: Tensor,
    labels: Tensor,
    factor: float,
    margin: float,
    ops: Any = keras.ops,
) -> Tensor:
    """Draws windows `(left, top, right, bottom)` that include all boxes.

    Args:
        uniform: Tensor `(batch, 7)`: four sides, a point, whether to crop.
        boxes: Tensor `(batch, n, 4)`, `rel_xyxy`.
        labels: Tensor `(batch, n)`; -1 for no box.
        factor: Probability that a window is not the whole image.
        margin: What remains around the boxes.
        ops: Namespace of operations.
    """
    is_box = ops.expand_dims(labels >= 0, -1)
    low = ops.min(ops.where(is_box, boxes[..., :2], 2.0), axis=1)
    high = ops.max(ops.where(is_box, boxes[..., 2:], -1.0), axis=1)
    empty = low > 1.5
    point = uniform[:, 4:6]
    low = ops.where(empty, point, low) - margin
    high = ops.where(empty, point, high) + margin
    low, high = ops.clip(low, 0.0, 1.0), ops.clip(high, 0.0, 1.0)
    start = low * uniform[:, :2]
    end = 1.0 - (1.0 - high) * uniform[:, 2:4]
    # At least a few pixels, for a point or a box of no size.
    end = ops.minimum(ops.maximum(end, start + 0.05), 1.0)
    start = ops.minimum(start, end - 0.05)
    is_cropped = uniform[:, 6:7] < factor
    start = ops.where(is_cropped, start, 0.0)
    end = ops.where(is_cropped, end, 1.0)
    return ops.concatenate([start, end], axis=1)
