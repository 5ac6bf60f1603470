"""Patches of other images with their labels, masks and boxes."""

from typing import Any

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import backend_ops
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Tensor, Tensors
from keras_strategies.augmentation._base.factors import checked_pair
from keras_strategies.augmentation._base.spatial_layer import SpatialLayer
from keras_strategies.augmentation._common.mixing import (
    check_labels,
    mix,
    permutation,
)
from keras_strategies.augmentation._image.mixing.patch_ops import (
    boxes_around_patch,
    draw_patch,
    inside_patch,
)


@serializable
class CutMix(SpatialLayer):
    """Replaces a patch of each image by that of another one of the batch.

    A drop-in for `keras.layers.CutMix` with the same arguments and the same
    distribution of sizes. It adds what that one lacks (Keras 3.15): boxes and masks
    follow, labels have the weights of whole pixels (Keras takes the area before it is
    rounded to pixels), models that contain it compile with XLA on TensorFlow, and with
    a seed parallel `tf.data` pipelines repeat.

    A patch has the sides `sqrt(1 - a)` of the image, `a ~ Beta(alpha, alpha)`, and
    labels are mixed by area:

    ```
    label = (1 - area) label_i + area label_j
    ```

    Boxes of the image remain unless the patch covers them; those of the other image
    are clipped to the patch. There are twice as many; those that are gone have the
    label -1, and `keras.layers.MaxNumBoundingBoxes` shortens the list.

    Reference: Yun et al., 2019, [CutMix: Regularization Strategy to Train Strong
    Classifiers with Localizable Features](https://arxiv.org/abs/1905.04899).

    Works in a model, called directly, and in `tf.data` pipelines on every backend, on
    batches. Active in training only.

    Args:
        factor: Bounds from which each image draws `alpha`, a number `f` for `(0, f)` or
            a pair within `[0, 1]`. Defaults to `1.0`.
        seed: Integer that makes the draws reproducible, or `None`.
            Defaults to `None`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to Keras's
            `image_data_format`.
        bounding_box_format: Format of the boxes, such as `"xyxy"` or `"rel_xywh"`.
            Needed only with boxes. Defaults to `None`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        data: A batch of images, or a dict with the keys `images` and `labels`,
            `segmentation_masks` or `bounding_boxes`.
        training: Whether to mix. Defaults to `True`, as for Keras's random layers.

    Input shape:
        `(batch, height, width, channels)` with `"channels_last"`, channels before
        height with `"channels_first"`.

    Output shape:
        The same.

    Raises:
        ValueError: If `factor` is outside its range, labels are class numbers, which
            cannot be mixed, or there are keypoints.

    Example:

    ```python
    import numpy as np
    from keras_strategies.augmentation import CutMix

    batch = {"images": np.random.rand(4, 32, 32, 3), "labels": np.eye(4)}
    mixed = CutMix()(batch)
    ```
    """

    _DRAWS = 7

    def __init__(
        self,
        factor: float | tuple[float, float] = 1.0,
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
        bounds = factor if isinstance(factor, list | tuple) else (0.0, factor)
        self.factor: tuple[float, float] = tuple(
            sorted(checked_pair("factor", bounds, low=0, high=1))
        )

    def _draw_more(
        self, data: Tensors, drawn: dict[str, Any], seed: Any
    ) -> dict[str, Any]:
        ops = backend_ops(self.backend)
        patch = draw_patch(**drawn, factor=self.factor, ops=ops)
        left, top, right, bottom = (patch[:, i] for i in range(4))
        height, width = (ops.cast(drawn[k], "float32") for k in ("height", "width"))
        area = (right - left) * (bottom - top) / (height * width)
        partners = permutation(drawn["uniform"][:, 6], ops)
        return {"patch": patch, "area": area, "partners": partners}

    def _augment(self, images: Tensor, transformation: Any) -> Tensor:
        ops = backend_ops(self.backend)
        size = transformation["height"], transformation["width"]
        inside = inside_patch(transformation["patch"], *size, ops)
        axis = -1 if self.data_format == "channels_last" else 1
        others = ops.take(images, transformation["partners"], axis=0)
        return ops.where(ops.expand_dims(inside, axis), others, images)

    def transform_labels(
        self, labels: Tensors, transformation: Any, training: bool = True
    ) -> Tensors:
        if not training:
            return labels
        check_labels(labels)
        ops = backend_ops(self.backend)
        labels = ops.cast(labels, self.compute_dtype)
        weights = 1.0 - transformation["area"]
        return mix(labels, transformation["partners"], weights, ops)

    def _augment_masks(self, masks: Tensor, transformation: Any) -> Tensor:
        return self._augment(masks, transformation)

    def _augment_boxes(
        self, bounding_boxes: dict[str, Tensor], transformation: Any, ops: Any
    ) -> Any:
        boxes, labels = boxes_around_patch(
            ops.cast(bounding_boxes["boxes"], "float32"),
            bounding_boxes["labels"],
            transformation["patch"],
            transformation["partners"],
            ops,
        )
        return {**bounding_boxes, "boxes": boxes, "labels": labels}

    def transform_keypoints(self, keypoints: Tensor, transformation: Any) -> Tensor:
        fix = "Give boxes or masks, or leave CutMix out."
        shape = tuple(keypoints.shape)
        checks.fail("`keypoints` cannot follow a patch", fix=fix, keypoints=shape)

    def get_config(self) -> Config:
        return {**super().get_config(), "factor": self.factor}
