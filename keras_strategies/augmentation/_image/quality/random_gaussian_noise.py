"""Gaussian noise on images."""

from typing import Any

from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Tensor
from keras_strategies.augmentation._base.factors import checked_factor
from keras_strategies.augmentation._image.quality.noise_layer import NoiseLayer


@serializable
class RandomGaussianNoise(NoiseLayer):
    """Adds Gaussian noise of a random strength to images.

    For networks that see cameras with noise, and for robustness: networks trained with
    it also gain on other corruptions. Keras's `GaussianNoise` has one strength for all
    images, leaves the range of pixels, and needs `training=True` outside of a model.

    ```
    y = clip(x + s e),    e ~ Normal(0, 1)
    ```

    Reference: Rusak et al., 2020, [A simple way to make neural networks robust against
    diverse image corruptions](https://arxiv.org/abs/2001.06057).

    Works in a model, called directly, and in `tf.data` pipelines on every backend.
    Active in training only. Masks, boxes, keypoints and labels pass through.

    Args:
        stddev: Strength `s` as a fraction of the value range, a number, or a pair
            `(lower, upper)` from which each image draws, within `[0, 1]`. Defaults to
            `(0.0, 0.1)`.
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
    from keras_strategies.augmentation import RandomGaussianNoise

    noisy = RandomGaussianNoise(0.1, value_range=(0, 1))(np.random.rand(4, 32, 32, 3))
    ```
    """

    def __init__(
        self,
        stddev: float | tuple[float, float] = (0.0, 0.1),
        value_range: tuple[float, float] = (0, 255),
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(value_range, seed=seed, data_format=data_format, **kwargs)
        self.stddev: float | tuple[float, float] = checked_factor(
            "stddev", stddev, 0, 1
        )

    def _deviation(self, images: Tensor, uniform: Tensor, ops: Any) -> Tensor:
        return self._drawn(self.stddev, uniform, 0, ops)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "stddev": self.stddev}
