"""Base class of image layers that masks, boxes and keypoints follow."""

from collections.abc import Callable
from typing import Any

import keras

from keras_strategies._internal.keras_private import backend_ops
from keras_strategies._internal.types import Tensor
from keras_strategies.augmentation._base.image_layer import ImageLayer
from keras_strategies.augmentation._common import boxes as _boxes


class SpatialLayer(ImageLayer):
    """Base of layers that move pixels, with the masks, boxes and keypoints on them.

    A subclass transforms masks with channels in `_augment_masks` and returns the
    function of points from the input to the output in `_move`. If there is no such
    function, it overrides `_augment_boxes` and `transform_keypoints` instead.
    """

    # Points of each side of a box that are moved. Two are its corners, which suffice
    # for affine maps.
    _POINTS = 2

    def _augment_masks(self, masks: Tensor, transformation: Any) -> Tensor:
        raise NotImplementedError

    def _move(self, transformation: Any) -> Callable[..., Any]:
        """Returns the function of points from the input to the output."""
        raise NotImplementedError

    def _augment_boxes(
        self, bounding_boxes: dict[str, Tensor], transformation: Any, ops: Any
    ) -> Any:
        """Returns boxes and labels after the transformation; `xyxy` in pixels."""
        size = {k: transformation[k] for k in ("height", "width")}
        move = self._move(transformation)
        return _boxes.move_bounding_boxes(
            bounding_boxes, move, size, ops, points=self._POINTS
        )

    def transform_segmentation_masks(
        self, segmentation_masks: Tensor, transformation: Any, training: bool = True
    ) -> Tensor:
        ops = backend_ops(self.backend)
        masks = ops.convert_to_tensor(segmentation_masks)
        if not training:
            return masks
        if len(masks.shape) == 4:
            return self._augment_masks(masks, transformation)
        axis = -1 if self.data_format == "channels_last" else 1
        masks = self._augment_masks(ops.expand_dims(masks, axis), transformation)
        return ops.squeeze(masks, axis)

    def transform_bounding_boxes(
        self,
        bounding_boxes: dict[str, Tensor],
        transformation: Any,
        training: bool = True,
    ) -> Any:
        if not training:
            return bounding_boxes
        size = {k: transformation[k] for k in ("height", "width")}
        convert = keras.utils.bounding_boxes.convert_format
        box_format = self.bounding_box_format
        boxes = convert(bounding_boxes, source=box_format, target="xyxy", **size)
        boxes = self._augment_boxes(boxes, transformation, backend_ops(self.backend))
        return convert(boxes, source="xyxy", target=box_format, **size)

    def transform_keypoints(self, keypoints: Tensor, transformation: Any) -> Tensor:
        size = {k: transformation[k] for k in ("height", "width")}
        move, ops = self._move(transformation), backend_ops(self.backend)
        return _boxes.move_keypoints(keypoints, move, **size, ops=ops)
