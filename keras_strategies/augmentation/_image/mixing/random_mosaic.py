"""Mosaics of four images of a batch."""

from typing import Any

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import backend_ops
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Tensor, Tensors
from keras_strategies.augmentation._base.factors import checked_pair
from keras_strategies.augmentation._base.spatial_layer import SpatialLayer
from keras_strategies.augmentation._common.compiled import apply
from keras_strategies.augmentation._common.mixing import check_labels
from keras_strategies.augmentation._image.mixing.mosaic_ops import (
    area_fractions,
    assemble,
    gather_boxes,
    layout,
)


@serializable
class RandomMosaic(SpatialLayer):
    """Combines regions of four images of the batch to one image.

    Shows a detector four contexts at once and truncated objects, at full resolution.
    Each image fills the bottom right quadrant, the other three are from images drawn
    from the batch; the center where the four meet is random.

    With a dict, boxes and masks are transformed as well: boxes are shifted, clipped to
    their quadrant and concatenated (four times as many; those outside have the label
    -1, and `keras.layers.MaxNumBoundingBoxes` shortens the list). Labels of the whole
    image, one-hot or multi-hot, are mixed by area:

    ```
    label = sum_q area_q label_q
    ```

    Reference: Bochkovskiy et al., 2020, [YOLOv4: Optimal Speed and Accuracy of Object
    Detection](https://arxiv.org/abs/2004.10934).

    Works in a model, called directly, and in `tf.data` pipelines on every backend, on
    batches. Active in training only.

    Args:
        center_factor: Where the four images meet, a pair `(lower, upper)` of
            fractions of width and height, within `[0, 1]`. Defaults to
            `(0.25, 0.75)`.
        factor: Probability that an image becomes a mosaic, in `[0, 1]`. Defaults to
            `1.0`.
        seed: Integer that makes the draws reproducible, or `None`.
            Defaults to `None`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to Keras's
            `image_data_format`.
        bounding_box_format: Format of the boxes, such as `"xyxy"` or `"rel_xywh"`.
            Needed only with boxes. Defaults to `None`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        data: A batch of images, or a dict with the key `images`.
        training: Whether to mix. Defaults to `True`, as
            for Keras's random layers.

    Input shape:
        `(batch, height, width, channels)` with `"channels_last"`, channels before
        height with `"channels_first"`.

    Output shape:
        The same.

    Raises:
        ValueError: If an argument is outside its range, a single image is given, or
            labels are class numbers, which cannot be mixed.

    Example:

    ```python
    import numpy as np
    from keras_strategies.augmentation import RandomMosaic

    mosaic = RandomMosaic(bounding_box_format="xyxy")
    batch = {
        "images": np.random.rand(4, 32, 32, 3),
        "labels": np.eye(4),
        "bounding_boxes": {
            "boxes": np.array([[[4.0, 4.0, 20.0, 20.0]]] * 4),
            "labels": np.ones((4, 1)),
        },
    }
    mixed = mosaic(batch, training=True)
    ```
    """

    _DRAWS = 6

    def __init__(
        self,
        center_factor: tuple[float, float] = (0.25, 0.75),
        factor: float = 1.0,
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
        self.center_factor: tuple[float, float] = tuple(
            sorted(checked_pair("center_factor", center_factor, low=0, high=1))
        )
        self.factor: float = checks.real("factor", factor, low=0, high=1)

    def _draw_more(
        self, data: Tensors, drawn: dict[str, Any], seed: Any
    ) -> dict[str, Any]:
        images = data["images"] if isinstance(data, dict) else data
        if len(images.shape) == 3:
            fix = "Give a batch: a mosaic needs several images."
            shape = tuple(images.shape)
            checks.fail("Images must have a batch axis", fix=fix, shape=shape)
        settings = {"center": self.center_factor, "factor": self.factor}
        ops = backend_ops(self.backend)
        return {"layout": layout(**drawn, **settings, ops=ops)}

    def _augment(self, images: Tensor, transformation: Any) -> Tensor:
        settings = self.center_factor, self.factor
        return apply(assemble, images, transformation["uniform"], *settings, layer=self)

    def transform_labels(
        self, labels: Tensors, transformation: Any, training: bool = True
    ) -> Tensors:
        if not training:
            return labels
        ops = backend_ops(self.backend)
        check_labels(labels)
        partners, x, y = transformation["layout"]
        sizes = transformation["height"], transformation["width"]
        weights = area_fractions(x, y, *sizes, ops=ops)
        labels = ops.cast(labels, self.compute_dtype)
        mixed = 0.0
        for i in range(4):
            weight = ops.cast(weights[:, i], labels.dtype)
            weight = ops.reshape(weight, (-1,) + (1,) * (len(labels.shape) - 1))
            mixed = mixed + weight * ops.take(labels, partners[:, i], axis=0)
        return mixed

    def _augment_masks(self, masks: Tensor, transformation: Any) -> Tensor:
        return self._augment(masks, transformation)

    def _augment_boxes(
        self, bounding_boxes: dict[str, Tensor], transformation: Any, ops: Any
    ) -> Any:
        boxes, labels = gather_boxes(
            bounding_boxes["boxes"],
            bounding_boxes["labels"],
            transformation["layout"],
            transformation["height"],
            transformation["width"],
            ops,
        )
        return {**bounding_boxes, "boxes": boxes, "labels": labels}

    def transform_keypoints(self, keypoints: Tensor, transformation: Any) -> Tensor:
        fix = "Give boxes or masks, or leave the mosaic out."
        shape = tuple(keypoints.shape)
        checks.fail("`keypoints` cannot follow a mosaic", fix=fix, keypoints=shape)

    def get_config(self) -> Config:
        config = {"center_factor": self.center_factor, "factor": self.factor}
        return {**super().get_config(), **config}
