"""Mixtures of two images with their labels, masks and boxes."""

from typing import Any

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import backend_ops
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Tensor, Tensors
from keras_strategies.augmentation._base.image_layer import ImageLayer
from keras_strategies.augmentation._common.mixing import (
    check_labels,
    mix,
    permutation,
    symmetric_beta,
)


@serializable
class MixUp(ImageLayer):
    """Mixes each image with another one of the batch, with all that belongs to it.

    A drop-in for `keras.layers.MixUp` with the same arguments and the same distribution
    of weights. It differs where that one fails (Keras 3.15): boxes come with the labels
    of both images (Keras joins these labels along the wrong axis), one-hot masks are
    mixed (Keras mixes them with a wrong shape), class numbers are refused (Keras
    returns a matrix), models that contain it compile with XLA on TensorFlow (Keras
    draws gamma variates, which XLA does not have), and with a seed parallel `tf.data`
    pipelines repeat.

    ```
    y = a x_i + (1 - a) x_j,    a ~ Beta(alpha, alpha)
    label = a label_i + (1 - a) label_j
    ```

    References: Zhang et al., 2018, [mixup: Beyond Empirical Risk
    Minimization](https://arxiv.org/abs/1710.09412); Zhang et al., 2019, [Bag of
    Freebies for Training Object Detection Neural
    Networks](https://arxiv.org/abs/1902.04103), for boxes.

    Works in a model, called directly, and in `tf.data` pipelines on every backend, on
    batches. Active in training only.

    Args:
        alpha: Parameter of the distribution, above 0: below 1 mostly one of the two,
            at 1 uniform. Defaults to `0.2`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to Keras's
            `image_data_format`.
        seed: Integer that makes the draws reproducible, or `None`.
            Defaults to `None`.
        bounding_box_format: Format of the boxes, such as `"xyxy"` or `"rel_xywh"`.
            Needed only with boxes. Defaults to `None`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        data: A batch of images, or a dict with the keys `images` and `labels`,
            `segmentation_masks`, `bounding_boxes` or `keypoints`.
        training: Whether to mix. Defaults to `True`, as for Keras's random layers.

    Input shape:
        `(batch, height, width, channels)` with `"channels_last"`, channels before
        height with `"channels_first"`.

    Output shape:
        The same.

    Raises:
        ValueError: If `alpha` is outside its range, or labels or masks are class
            numbers, which cannot be mixed.

    Example:

    ```python
    import numpy as np
    from keras_strategies.augmentation import MixUp

    batch = {"images": np.random.rand(4, 32, 32, 3), "labels": np.eye(4)}
    mixed = MixUp(0.4)(batch)
    ```
    """

    _DRAWS = 4

    def __init__(
        self,
        alpha: float = 0.2,
        data_format: str | None = None,
        seed: int | None = None,
        bounding_box_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            seed=seed,
            data_format=data_format,
            bounding_box_format=bounding_box_format,
            **kwargs,
        )
        self.alpha: float = checks.real("alpha", alpha, low=0, low_open=True)

    def _draw_more(
        self, data: Tensors, drawn: dict[str, Any], seed: Any
    ) -> dict[str, Any]:
        ops, uniform = backend_ops(self.backend), drawn["uniform"]
        weights = symmetric_beta(uniform[:, :3], self.alpha, ops)
        return {"weights": weights, "partners": permutation(uniform[:, 3], ops)}

    def _mixed(self, values: Tensor, transformation: Any) -> Tensor:
        ops = backend_ops(self.backend)
        values = ops.cast(values, self.compute_dtype)
        partners, weights = (transformation[k] for k in ("partners", "weights"))
        return mix(values, partners, weights, ops)

    def _augment(self, images: Tensor, transformation: Any) -> Tensor:
        return self._mixed(images, transformation)

    def transform_labels(
        self, labels: Tensors, transformation: Any, training: bool = True
    ) -> Tensors:
        if not training:
            return labels
        check_labels(labels)
        return self._mixed(labels, transformation)

    def transform_segmentation_masks(
        self, segmentation_masks: Tensor, transformation: Any, training: bool = True
    ) -> Tensor:
        ops = backend_ops(self.backend)
        masks = ops.convert_to_tensor(segmentation_masks)
        if not training:
            return masks
        axis = -1 if self.data_format == "channels_last" else 1
        if len(masks.shape) != 4 or masks.shape[axis] == 1:
            fix = "Give one-hot masks (keras.ops.one_hot): class numbers have no mean."
            rule = "`segmentation_masks` must have a channel for each class"
            checks.fail(rule, fix=fix, shape=tuple(masks.shape))
        return self._mixed(masks, transformation)

    def transform_bounding_boxes(
        self,
        bounding_boxes: dict[str, Tensor],
        transformation: Any,
        training: bool = True,
    ) -> Any:
        if not training:
            return bounding_boxes
        keys = ("boxes", "labels")
        return {k: self._joined(bounding_boxes[k], transformation) for k in keys}

    def transform_keypoints(self, keypoints: Tensor, transformation: Any) -> Tensor:
        return self._joined(keypoints, transformation)

    def _joined(self, values: Tensor, transformation: Any) -> Tensor:
        """Returns what belongs to both images, along the second axis."""
        ops = backend_ops(self.backend)
        partners = ops.take(values, transformation["partners"], axis=0)
        return ops.concatenate([values, partners], axis=1)

    def get_config(self) -> Config:
        return {**super().get_config(), "alpha": self.alpha}
