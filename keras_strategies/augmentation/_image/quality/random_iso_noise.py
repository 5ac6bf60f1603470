"""Noise of a camera sensor."""

from typing import Any

from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Tensor
from keras_strategies.augmentation._base.factors import checked_factor
from keras_strategies.augmentation._image.quality.noise_layer import NoiseLayer


@serializable
class RandomISONoise(NoiseLayer):
    """Adds the noise of a camera sensor at a high ISO speed.

    For pictures taken in little light. Photons arrive at random, so that bright pixels
    vary more, and the electronics add the same noise to all; the channels vary
    independently, which makes the color grain of dark pictures. For pixels `x` in
    `[0, 1]`, each image has a gain `a` and a read noise `b`:

    ```
    y = clip(x + sqrt(a x + b^2) e),    e ~ Normal(0, 1)
    ```

    Reference: Foi et al., 2008, [Practical Poissonian-Gaussian Noise Modeling and
    Fitting for Single-Image Raw-Data](https://doi.org/10.1109/TIP.2008.2001399).

    Works in a model, called directly, and in `tf.data` pipelines on every backend.
    Active in training only. Masks, boxes, keypoints and labels pass through.

    Args:
        gain: Variance of a white pixel by its photons, a number, or a pair `(lower,
            upper)` from which each image draws, within `[0, 1]`. Defaults to
            `(0.0, 0.01)`.
        read_stddev: Standard deviation of a black pixel, in the same forms. Defaults to
            `(0.0, 0.03)`.
        value_range: Range `(low, high)` of the pixels. Defaults to `(0, 255)`.
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
    from keras_strategies.augmentation import RandomISONoise

    noisy = RandomISONoise(value_range=(0, 1))(np.random.rand(4, 32, 32, 3))
    ```
    """

    def __init__(
        self,
        gain: float | tuple[float, float] = (0.0, 0.01),
        read_stddev: float | tuple[float, float] = (0.0, 0.03),
        value_range: tuple[float, float] = (0, 255),
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(value_range, seed=seed, data_format=data_format, **kwargs)
        self.gain: float | tuple[float, float] = checked_factor("gain", gain, 0, 1)
        self.read_stddev: float | tuple[float, float] = checked_factor(
            "read_stddev", read_stddev, 0, 1
        )

    def _deviation(self, images: Tensor, uniform: Tensor, ops: Any) -> Tensor:
        gain = self._drawn(self.gain, uniform, 0, ops)
        read = self._drawn(self.read_stddev, uniform, 1, ops)
        return ops.sqrt(gain * ops.clip(images, 0.0, 1.0) + read * read)

    def get_config(self) -> Config:
        config = {"gain": self.gain, "read_stddev": self.read_stddev}
        return {**super().get_config(), **config}
