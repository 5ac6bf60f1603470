"""Blur of images by motion."""

from typing import Any

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Tensor
from keras_strategies.augmentation._base.factors import (
    checked_factor,
    constant,
    symmetric,
)
from keras_strategies.augmentation._base.image_layer import ImageLayer
from keras_strategies.augmentation._common.compiled import apply
from keras_strategies.augmentation._image.quality.blur_ops import motion_blur


@serializable
class RandomMotionBlur(ImageLayer):
    """Blurs images along a line of random length and direction.

    For pictures of moving objects or a moving camera. Each pixel becomes the mean of
    the pixels on a line of `length` pixels through it; a direction of 0 is horizontal.
    Keras's `RandomGaussianBlur` blurs in all directions.

    Reference: Hendrycks and Dietterich, 2019, [Benchmarking Neural Network Robustness
    to Common Corruptions](https://arxiv.org/abs/1903.12261).

    Works in a model, called directly, and in `tf.data` pipelines on every backend.
    Active in training only. Masks, boxes, keypoints and labels pass through.

    Args:
        length: Length of the line in pixels, a number or a pair `(lower, upper)` from
            which each image draws, from 1, for no blur, to 15. Defaults to `(3, 7)`.
        angle_factor: Direction as a fraction of a full turn, a number `f` for `(-f, f)`
            or a pair within `[-1, 1]`. Defaults to `0.25`, all directions.
        factor: Probability that an image is blurred, in `[0, 1]`. Defaults to `1.0`.
        seed: Integer that makes the draws reproducible, or `None`.
            Defaults to `None`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to Keras's
            `image_data_format`.
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
    from keras_strategies.augmentation import RandomMotionBlur

    blurred = RandomMotionBlur(5)(np.random.rand(4, 32, 32, 3))
    ```
    """

    _DRAWS = 3

    def __init__(
        self,
        length: float | tuple[float, float] = (3, 7),
        angle_factor: float | tuple[float, float] = 0.25,
        factor: float = 1.0,
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        self.length: float | tuple[float, float] = checked_factor(
            "length", length, 1, 15
        )
        self.angle_factor: float | tuple[float, float] = checked_factor(
            "angle_factor", angle_factor
        )
        self.factor: float = checks.real("factor", factor, low=0, high=1)

    def _augment(self, images: Tensor, transformation: Any) -> Tensor:
        ranges = constant(self.length), symmetric(self.angle_factor)
        settings = (*ranges, self.factor)
        uniform = transformation["uniform"]
        return apply(motion_blur, images, uniform, *settings, layer=self)

    def get_config(self) -> Config:
        names = ("length", "angle_factor", "factor")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
