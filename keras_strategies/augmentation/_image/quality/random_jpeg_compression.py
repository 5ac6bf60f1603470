"""Artifacts of JPEG compression."""

from typing import Any

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Tensor
from keras_strategies.augmentation._base.factors import checked_factor, constant
from keras_strategies.augmentation._base.image_layer import (
    ImageLayer,
    check_color_channels,
    checked_value_range,
)
from keras_strategies.augmentation._common.compiled import apply
from keras_strategies.augmentation._image.quality.jpeg_ops import compress


@serializable
class RandomJPEGCompression(ImageLayer):
    """Gives images the artifacts of JPEG files of a random quality.

    For networks that are trained on clean pictures and see compressed ones. The parts
    of JPEG that lose something are computed for the whole batch: colors at half the
    resolution, the cosine transform of blocks of 8 by 8 pixels, its rounding with
    libjpeg's tables for the quality, and back. The result is that of writing and
    reading a file, but for the rounding of grey levels, and the layer supports XLA.

    References: Wallace, 1992, [The JPEG still picture compression
    standard](https://doi.org/10.1109/30.125072); Hendrycks and Dietterich, 2019,
    [Benchmarking Neural Network Robustness](https://arxiv.org/abs/1903.12261).

    Works in a model, called directly, and in `tf.data` pipelines on every backend.
    Active in training only. Masks, boxes, keypoints and labels pass through.

    Args:
        quality: Quality as in libjpeg, a number or a pair `(lower, upper)` from which
            each image draws, within `[1, 100]`. Defaults to `(50, 95)`.
        factor: Probability that an image is compressed, in `[0, 1]`. Defaults to `1.0`.
        value_range: Range `(low, high)` of the pixels. Defaults to `(0, 255)`.
        seed: Integer that makes the draws reproducible, or `None`.
            Defaults to `None`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to Keras's
            `image_data_format`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        data: Images of one or three channels, or a dict with the key `images`.
        training: Whether to transform images. Defaults to `True`, as for Keras's
            random layers.

    Input shape:
        `(height, width, channels)` or `(batch, height, width, channels)` with
        `"channels_last"`, channels before height with `"channels_first"`.

    Output shape:
        The same.

    Raises:
        ValueError: If an argument is outside its range, or images have neither one nor
            three channels.

    Example:

    ```python
    import numpy as np
    from keras_strategies.augmentation import RandomJPEGCompression

    images = np.random.randint(0, 256, (4, 32, 32, 3))
    compressed = RandomJPEGCompression((20, 60))(images)
    ```
    """

    _DRAWS = 2

    def __init__(
        self,
        quality: float | tuple[float, float] = (50, 95),
        factor: float = 1.0,
        value_range: tuple[float, float] = (0, 255),
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        self.quality: float | tuple[float, float] = checked_factor(
            "quality", quality, 1, 100
        )
        self.factor: float = checks.real("factor", factor, low=0, high=1)
        self.value_range: tuple[float, float] = checked_value_range(value_range)

    def _augment(self, images: Tensor, transformation: Any) -> Tensor:
        check_color_channels(images, self.data_format)
        settings = (constant(self.quality), self.factor, self.value_range)
        uniform = transformation["uniform"]
        return apply(compress, images, uniform, *settings, layer=self)

    def get_config(self) -> Config:
        names = ("quality", "factor", "value_range")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
