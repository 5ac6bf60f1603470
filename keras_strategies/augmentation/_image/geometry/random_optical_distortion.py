"""Distortion of images as by a lens."""

from typing import Any, Literal

from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config
from keras_strategies.augmentation._base.factors import checked_factor, symmetric
from keras_strategies.augmentation._image.geometry.distortions import (
    lens_source,
    lens_target,
)
from keras_strategies.augmentation._image.geometry.geometric_layer import GeometricLayer


@serializable
class RandomOpticalDistortion(GeometricLayer):
    """Bends images as lenses do, to a barrel or a cushion.

    For pictures of several cameras. A pixel at the distance `r` from the center, in
    units of width and height, is read at

    ```
    r (1 + k r^2 + k r^4)
    ```

    with `k` above 0 for a barrel and below 0 for a cushion: OpenCV's camera model with
    the coefficients `k1 = k2 = k`, as in albumentations' `OpticalDistortion`.

    Reference: Brown, 1966, Decentering Distortion of Lenses; [OpenCV's
    model](https://docs.opencv.org/4.x/d9/d0c/group__calib3d.html).

    Works in a model, called directly, and in `tf.data` pipelines on every backend.
    Active in training only. Of a dict with `images`, `segmentation_masks`,
    `bounding_boxes` and `keypoints` (x and y in pixels, with or without a visibility)
    all follow.

    Args:
        factor: Coefficient `k`, a number `f` for `(-f, f)` or a pair, within
            `[-0.3, 0.3]`, where lines remain in order. Defaults to `0.05`.
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
    from keras_strategies.augmentation import RandomOpticalDistortion

    bent = RandomOpticalDistortion(0.2)(np.random.rand(4, 32, 32, 3))
    ```
    """

    _SOURCE = staticmethod(lens_source)
    _TARGET = staticmethod(lens_target)

    def __init__(
        self,
        factor: float | tuple[float, float] = 0.05,
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
        self.factor: float | tuple[float, float] = checked_factor(
            "factor", factor, -0.3, 0.3
        )

    def _settings(self) -> tuple[Any, ...]:
        return (symmetric(self.factor),)

    def get_config(self) -> Config:
        return {**super().get_config(), "factor": self.factor}
