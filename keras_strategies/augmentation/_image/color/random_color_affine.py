"""Color augmentation with one matrix per image."""

from typing import Any

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Tensor
from keras_strategies.augmentation._base.factors import (
    checked_factor,
    checked_pair,
    constant,
    symmetric,
)
from keras_strategies.augmentation._base.image_layer import (
    ImageLayer,
    check_color_channels,
    checked_value_range,
)
from keras_strategies.augmentation._common.compiled import apply
from keras_strategies.augmentation._image.color.color_matrices import jitter


@serializable
class RandomColorAffine(ImageLayer):
    """Changes brightness, contrast, saturation and hue with one matrix per image.

    Keras's `RandomColorJitter` applies four passes, two of them through HSV and back.
    This layer multiplies the four operations to one 3x4 matrix for each image and
    transforms and clips every pixel once:

    ```
    y = H S (c (x + b - m) + m),  m = mean(x + b)
    ```

    with the brightness `b`, the contrast `c` about the mean `m` of each channel, the
    saturation `S = s I + (1 - s) 1 w` about the luma (`w` of Rec. 601), and the hue
    `H`, a rotation about the gray axis. Brightness and contrast are those of
    `RandomBrightness` and `RandomContrast`; saturation and hue are linear
    approximations of those in HSV (hue is the same at thirds of a turn, in between it
    preserves the mean of the channels instead of the maximum).

    Reference: Haeberli, 1993, [Matrix operations for image
    processing](http://www.graficaobscura.com/matrix/).

    Works in a model, called directly, and in `tf.data` pipelines on every backend.
    Active in training only. Masks, boxes and labels pass through.

    Args:
        brightness_factor: As in `RandomColorJitter`: fraction of the range of values
            that is added, a number `f` for `(-f, f)` or a pair `(lower, upper)`
            within `[-1, 1]`. Defaults to `0.0`.
        contrast_factor: As in `RandomColorJitter`: a number `f` for the contrasts
            `[1 - f, 1 + f]`, or a pair `(lower, upper)` for `[1 - lower, 1 + upper]`,
            within `[0, 1]`. Defaults to `0.0`.
        saturation_factor: The same for the saturation, where 0 is gray and 1 the
            identity. (`RandomColorJitter` has its neutral point at 0.5.)
            Defaults to `0.0`.
        hue_factor: As in `RandomColorJitter`: fraction of half a turn of the
            color circle, in either direction; a number `f` for `(0, f)` or a pair,
            within `[0, 1]`. Defaults to `0.0`.
        value_range: Lowest and highest value of the images; results are clipped to it.
            Defaults to `(0, 255)`.
        seed: Integer that makes the draws reproducible, or `None`.
            Defaults to `None`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to Keras's
            `image_data_format`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        data: Images of one or three channels, or a dict with the key `images`.
        training: Whether to transform images. Defaults to `True`, as
            for Keras's random layers.

    Input shape:
        `(height, width, channels)` or `(batch, height, width, channels)` with
        `"channels_last"`, channels before height with `"channels_first"`.

    Output shape:
        The same.

    Raises:
        ValueError: If a factor is outside its range, or images have neither one nor
            three channels.

    Example:

    ```python
    import numpy as np
    from keras_strategies.augmentation import RandomColorAffine

    jitter = RandomColorAffine(0.2, 0.3, 0.5, 0.1, value_range=(0, 1))
    images = np.random.rand(4, 32, 32, 3)
    changed = jitter(images, training=True)
    ```
    """

    _DRAWS = 5

    def __init__(
        self,
        brightness_factor: float | tuple[float, float] = 0.0,
        contrast_factor: float | tuple[float, float] = 0.0,
        saturation_factor: float | tuple[float, float] = 0.0,
        hue_factor: float | tuple[float, float] = 0.0,
        value_range: tuple[float, float] = (0, 255),
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        self.brightness_factor: float | tuple[float, float] = checked_factor(
            "brightness_factor", brightness_factor
        )
        self.contrast_factor: float | tuple[float, float] = _checked_gain_factor(
            "contrast_factor", contrast_factor
        )
        self.saturation_factor: float | tuple[float, float] = _checked_gain_factor(
            "saturation_factor", saturation_factor
        )
        self.hue_factor: float | tuple[float, float] = checked_factor(
            "hue_factor", hue_factor, 0
        )
        self.value_range: tuple[float, float] = checked_value_range(value_range)

    def _augment(self, images: Tensor, transformation: Any) -> Tensor:
        check_color_channels(images, self.data_format)
        hue = self.hue_factor
        ranges = (
            symmetric(self.brightness_factor),
            _gains(self.contrast_factor),
            _gains(self.saturation_factor),
            hue if isinstance(hue, tuple) else (0.0, hue),
        )
        uniform = transformation["uniform"]
        return apply(jitter, images, uniform, ranges, self.value_range, layer=self)

    def get_config(self) -> Config:
        config = {
            "brightness_factor": self.brightness_factor,
            "contrast_factor": self.contrast_factor,
            "saturation_factor": self.saturation_factor,
            "hue_factor": self.hue_factor,
            "value_range": self.value_range,
        }
        return {**super().get_config(), **config}


def _checked_gain_factor(name: str, value: Any) -> float | tuple[float, float]:
    if isinstance(value, list | tuple):
        return checked_pair(name, value, low=0, high=1)
    return checks.real(name, value, low=0, high=1)


def _gains(value: float | tuple[float, float]) -> tuple[float, float]:
    lower, upper = constant(value)
    return 1.0 - lower, 1.0 + upper
