"""Distortion of images on a grid."""

from typing import Any, Literal

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config
from keras_strategies.augmentation._image.geometry.distortions import (
    grid_source,
    grid_target,
)
from keras_strategies.augmentation._image.geometry.geometric_layer import GeometricLayer


@serializable
class RandomGridDistortion(GeometricLayer):
    """Stretches and compresses the columns and rows of a grid at random.

    For objects whose proportions vary. The image is divided into `cells` columns and as
    many rows of equal size; each is read from a column or row whose size is
    `1 + Uniform(-factor, factor)` times as large, scaled so that the edges of the image
    remain where they are.

    Reference: Buslaev et al., 2020, [Albumentations: Fast and Flexible Image
    Augmentations](https://doi.org/10.3390/info11020125) (`GridDistortion`).

    Works in a model, called directly, and in `tf.data` pipelines on every backend.
    Active in training only. Of a dict with `images`, `segmentation_masks`,
    `bounding_boxes` and `keypoints` (x and y in pixels, with or without a visibility)
    all follow.

    Args:
        cells: Number of columns and of rows, at least 2. Defaults to `5`.
        factor: Largest relative change of a size, in `[0, 1)`. Defaults to `0.3`.
        interpolation: `"bilinear"` or `"nearest"`; masks are always read nearest.
            Defaults to `"bilinear"`.
        fill_mode: What is outside of the image: `"constant"`, `"nearest"`, `"reflect"`
            or `"wrap"`. Defaults to `"reflect"`.
        fill_value: Value for `"constant"`. Defaults to `0.0`.
        seed: Integer that makes the draws reproducible, or `None`.
            Defaults to `None`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to Keras's
            `image_data_format`.
        bounding_box_format: Format of the boxes, such as `"xyxy"` or `"rel_xywh"`.
            Needed only with boxes. Defaults to `None`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        data: Images, or a dict with the key `images`.
        training: Whether to transform images. Defaults to `True`, as for Keras's
            random layers.

    Input shape:
        `(height, width, channels)` or `(batch, height, width, channels)` with
        `"channels_last"`, channels before height with `"channels_first"`.

    Output shape:
        The same.

    Raises:
        ValueError: If an argument is outside its range.

    Example:

    ```python
    import numpy as np
    from keras_strategies.augmentation import RandomGridDistortion

    uneven = RandomGridDistortion(4, 0.5)(np.random.rand(4, 32, 32, 3))
    ```
    """

    _SOURCE = staticmethod(grid_source)
    _TARGET = staticmethod(grid_target)

    def __init__(
        self,
        cells: int = 5,
        factor: float = 0.3,
        interpolation: Literal["nearest", "bilinear"] = "bilinear",
        fill_mode: Literal["constant", "nearest", "reflect", "wrap"] = "reflect",
        fill_value: float = 0.0,
        seed: int | None = None,
        data_format: str | None = None,
        bounding_box_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            interpolation,
            fill_mode,
            fill_value,
            seed=seed,
            data_format=data_format,
            bounding_box_format=bounding_box_format,
            **kwargs,
        )
        self.cells: int = checks.integer("cells", cells, low=2)
        self.factor: float = checks.real(
            "factor", factor, low=0, high=1, high_open=True
        )
        self._DRAWS = 2 * self.cells

    def _settings(self) -> tuple[Any, ...]:
        return self.cells, self.factor

    def get_config(self) -> Config:
        config = {"cells": self.cells, "factor": self.factor}
        return {**super().get_config(), **config}
