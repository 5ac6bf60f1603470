"""Base class and argument checks of the image layers."""

from typing import Any

from keras_strategies._internal import bases, checks
from keras_strategies._internal.keras_private import backend_ops
from keras_strategies._internal.types import Config, Tensor, Tensors
from keras_strategies.augmentation._base.factors import checked_pair
from keras_strategies.augmentation._base.seeded_layer import SeededLayer

_DRAWN = "_keras_strategies_transformation"


class ImageLayer(SeededLayer, bases.ImagePreprocessingLayer):
    """Base of image layers that draw uniform numbers for each image.

    Labels, masks, boxes and keypoints pass through unchanged. A subclass sets in
    `_DRAWS` the number of random numbers per image and transforms images in
    `_augment(images, transformation)`; `_draw_more` draws or derives the rest.
    """

    _USE_BASE_FACTOR = False
    _DRAWS = 1

    # The default of `training` is that of Keras's random layers, which these stand
    # beside and replace: a layer or stack that is called without it augments.
    def call(self, data: Tensors, training: bool = True) -> Tensors:
        if not isinstance(data, dict):
            return super().call(data, training=training)
        data = dict(data)  # Keras writes the results into the dict it is given
        if "keypoints" in data and training:
            # Keras knows no keypoints and draws by itself: it is given these draws.
            drawn = self.get_random_transformation(data, training=training)
            data["keypoints"] = self._with_batch_axis(data["keypoints"], drawn)
            data[_DRAWN] = drawn
        return super().call(data, training=training)

    def _with_batch_axis(self, keypoints: Tensor, transformation: Any) -> Tensor:
        ops = backend_ops(self.backend)
        keypoints = ops.cast(ops.convert_to_tensor(keypoints), "float32")
        rank = len(keypoints.shape)
        if rank not in (2, 3) or keypoints.shape[-1] not in (2, 3):
            fix = "Give x and y in pixels, and the visibility or not."
            rule = "`keypoints` must be (batch, n, 2) or (batch, n, 3)"
            checks.fail(rule, fix=fix, shape=tuple(keypoints.shape))
        if rank == 3:
            return self.transform_keypoints(keypoints, transformation)
        keypoints = ops.expand_dims(keypoints, 0)
        return ops.squeeze(self.transform_keypoints(keypoints, transformation), 0)

    def get_random_transformation(
        self, data: Tensors, training: bool = True, seed: Any = None
    ) -> dict[str, Any] | None:
        if not training:
            return None
        if isinstance(data, dict) and _DRAWN in data:
            return data.pop(_DRAWN)
        images = data["images"] if isinstance(data, dict) else data
        shape = backend_ops(self.backend).shape(images)
        if seed is None:
            seed = self._seeds(images)
        batch = shape[0] if len(shape) == 4 else 1
        uniform = self.backend.random.uniform(
            (batch, self._DRAWS), dtype="float32", seed=seed
        )
        is_channels_last = self.data_format == "channels_last"
        height, width = shape[-3:-1] if is_channels_last else shape[-2:]
        drawn = {"uniform": uniform, "height": height, "width": width}
        return {**drawn, **self._draw_more(data, drawn, seed)}

    def _draw_more(
        self, data: Tensors, drawn: dict[str, Any], seed: Any
    ) -> dict[str, Any]:
        """Returns what else a transformation needs, after uniform numbers and size."""
        return {}

    def transform_images(
        self, images: Tensor, transformation: Any, training: bool = True
    ) -> Tensor:
        images = self.backend.cast(images, self.compute_dtype)
        return self._augment(images, transformation) if training else images

    def _augment(self, images: Tensor, transformation: Any) -> Tensor:
        raise NotImplementedError

    def transform_labels(
        self, labels: Tensors, transformation: Any, training: bool = True
    ) -> Tensors:
        return labels

    def transform_keypoints(self, keypoints: Tensor, transformation: Any) -> Tensor:
        """Returns keypoints `(batch, n, 2 or 3)` after the transformation."""
        return keypoints

    def transform_segmentation_masks(
        self, segmentation_masks: Tensor, transformation: Any, training: bool = True
    ) -> Tensor:
        return segmentation_masks

    def transform_bounding_boxes(
        self,
        bounding_boxes: dict[str, Tensor],
        transformation: Any,
        training: bool = True,
    ) -> Any:
        return bounding_boxes

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> Config:
        config = {
            "seed": self.seed,
            "data_format": self.data_format,
            "bounding_box_format": self.bounding_box_format,
        }
        return {**super().get_config(), **config}


def checked_value_range(value: Any) -> tuple[float, float]:
    """Checks the range `(low, high)` of pixel values."""
    low, high = checked_pair("value_range", value)
    if not low < high:
        fix = "Give (0, 255), (0, 1) or the range of your images."
        checks.fail("`value_range` must be increasing", fix=fix, value_range=value)
    return low, high


def check_color_channels(images: Tensor, data_format: str) -> None:
    """Checks that images are grayscale or RGB."""
    channels = images.shape[-1 if data_format == "channels_last" else 1]
    if channels not in (1, 3):
        fix = "Give grayscale or RGB images; check `data_format`."
        shape = tuple(images.shape)
        checks.fail("Images must have 1 or 3 channels", fix=fix, shape=shape)
