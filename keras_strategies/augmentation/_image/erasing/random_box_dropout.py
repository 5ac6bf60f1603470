"""Holes in objects."""

from typing import Any

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import backend_ops
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Tensor, Tensors
from keras_strategies.augmentation._base.factors import checked_factor, constant
from keras_strategies.augmentation._base.given_boxes import pixel_boxes
from keras_strategies.augmentation._base.image_layer import ImageLayer


@serializable
class RandomBoxDropout(ImageLayer):
    """Removes a rectangle inside of bounding boxes, as if objects were occluded.

    Holes anywhere in the image (`RandomCutout`, Keras's `RandomErasing`) miss small
    objects and delete others whole. Here each box loses, with probability `factor`, a
    rectangle of a fraction of its own height and width at a random place inside it, so
    that the same fraction of small and of large objects is hidden.

    References: Zhong et al., 2020, [Random Erasing Data
    Augmentation](https://arxiv.org/abs/1708.04896) (object-aware); Buslaev et al.,
    2020, [Albumentations](https://doi.org/10.3390/info11020125)
    (`ConstrainedCoarseDropout`).

    Works in a model, called directly, and in `tf.data` pipelines on every backend.
    Active in training only. Masks, boxes, keypoints and labels pass through.

    Args:
        height_factor: Height of a hole as a fraction of that of its box, a number, or a
            pair `(lower, upper)` from which each box draws, within `[0, 1]`. Defaults
            to `(0.2, 0.5)`.
        width_factor: The same for the width. Defaults to `(0.2, 0.5)`.
        factor: Probability that a box gets a hole, in `[0, 1]`. Defaults to `0.5`.
        fill_value: Value of the removed pixels. Defaults to `0.0`.
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
    from keras_strategies.augmentation import RandomBoxDropout

    batch = {
        "images": np.random.rand(4, 32, 32, 3),
        "bounding_boxes": {
            "boxes": np.array([[[8.0, 8.0, 20.0, 24.0]]] * 4),
            "labels": np.ones((4, 1)),
        },
    }
    occluded = RandomBoxDropout(bounding_box_format="xyxy")(batch)
    ```
    """

    def __init__(
        self,
        height_factor: float | tuple[float, float] = (0.2, 0.5),
        width_factor: float | tuple[float, float] = (0.2, 0.5),
        factor: float = 0.5,
        fill_value: float = 0.0,
        seed: int | None = None,
        data_format: str | None = None,
        bounding_box_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            seed=seed,
            data_format=data_format,
            bounding_box_format=bounding_box_format,
            **kwargs,
        )
        self.height_factor: float | tuple[float, float] = checked_factor(
            "height_factor", height_factor, 0, 1
        )
        self.width_factor: float | tuple[float, float] = checked_factor(
            "width_factor", width_factor, 0, 1
        )
        self.factor: float = checks.real("factor", factor, low=0, high=1)
        self.fill_value: float = checks.real("fill_value", fill_value)

    def _draw_more(
        self, data: Tensors, drawn: dict[str, Any], seed: Any
    ) -> dict[str, Any]:
        ops = backend_ops(self.backend)
        boxes, labels = pixel_boxes(data, self.bounding_box_format, self, ops)
        shape = (*ops.shape(labels)[:2], 5)
        uniform = self.backend.random.uniform(shape, dtype="float32", seed=seed)
        return {"boxes": boxes, "labels": labels, "holes": uniform}

    def _augment(self, images: Tensor, transformation: Any) -> Tensor:
        ops = backend_ops(self.backend)
        sizes = constant(self.height_factor), constant(self.width_factor)
        size = transformation["height"], transformation["width"]
        names = ("holes", "boxes", "labels")
        drawn = (transformation[name] for name in names)
        mask = holes_in_boxes(*drawn, *size, *sizes, self.factor, ops)
        axis = -1 if self.data_format == "channels_last" else 1
        filling = ops.cast(self.fill_value, images.dtype)
        return ops.where(ops.expand_dims(mask, axis), filling, images)

    def get_config(self) -> Config:
        names = ("height_factor", "width_factor", "factor", "fill_value")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def holes_in_boxes(
    uniform: Tensor,
    boxes: Tensor,
    labels: Tensor,
    height: Any,
    width: Any,
    height_factor: tuple[float, float],
    width_factor: tuple[float, float],
    factor: float,
    ops: Any = keras.ops,
) -> Tensor:
    """Returns the union of a hole per box, booleans `(batch, height, width)`.

    Args:
        uniform: Tensor `(batch, n, 5)`: height, width, top, left, whether to drop.
        boxes: Tensor `(batch, n, 4)`, `xyxy` in pixels.
        labels: Tensor `(batch, n)`; -1 for no box.
        height: Rows of the images.
        width: Columns of the images.
        height_factor: Bounds of the height as a fraction of the box.
        width_factor: Bounds of the width.
        factor: Probability of a hole.
        ops: Namespace of operations.
    """
    is_hole = ops.logical_and(uniform[..., 4] < factor, labels >= 0)
    covered = []
    for axis, length, bounds in ((1, height, height_factor), (0, width, width_factor)):
        start, end = boxes[..., axis], boxes[..., axis + 2]
        number = uniform[..., 1 - axis]
        size = (end - start) * (bounds[0] + (bounds[1] - bounds[0]) * number)
        first = start + uniform[..., 3 - axis] * (end - start - size)
        # Pixels whose center is inside.
        centers = ops.arange(length, dtype="float32") + 0.5
        first, size = ops.expand_dims(first, -1), ops.expand_dims(size, -1)
        inside = ops.logical_and(centers >= first, centers < first + size)
        covered.append(ops.cast(inside, "float32"))
    rows, columns = covered
    rows = rows * ops.cast(ops.expand_dims(is_hole, -1), "float32")
    return ops.matmul(ops.transpose(rows, (0, 2, 1)), columns) > 0.5
