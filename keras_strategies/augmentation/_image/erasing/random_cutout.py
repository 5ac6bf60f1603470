"""Cutout: removal of rectangles of a fixed size."""

from typing import Any

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Tensor
from keras_strategies.augmentation._base.factors import checked_factor
from keras_strategies.augmentation._base.image_layer import ImageLayer
from keras_strategies.augmentation._common.compiled import apply
from keras_strategies.augmentation._image.erasing.mask_ops import erase, holes


@serializable
class RandomCutout(ImageLayer):
    """Removes rectangles of a fixed size from images.

    Makes a network use more than one part of an object. The center of a rectangle is
    drawn uniformly from all pixels, so that it may extend beyond the border and remove
    less, which the paper found to be important. Keras's `RandomErasing` differs: its
    rectangle has a random size and is always inside the image.

    Reference: DeVries and Taylor, 2017, [Improved Regularization of Convolutional
    Neural Networks with Cutout](https://arxiv.org/abs/1708.04552).

    Works in a model, called directly, and in `tf.data` pipelines on every backend.
    Active in training only. Masks, boxes and labels pass through.

    Args:
        height_factor: Height as a fraction of that of the image, a number or a pair
            `(lower, upper)` to draw from, within `[0, 1]`. Defaults to `0.5`, as the
            paper's 16 pixels on CIFAR-10.
        width_factor: The same for the width, or `None` for the same fraction as the
            height. Defaults to `None`.
        holes: Number of rectangles per image, at least 1. Defaults to `1`.
        factor: Probability that an image is changed, in `[0, 1]`. Defaults to `1.0`.
        fill_value: Value of the removed pixels. Defaults to `0.0`.
        seed: Integer that makes the draws reproducible, or `None`.
            Defaults to `None`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to Keras's
            `image_data_format`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        data: Images, or a dict with the key `images`.
        training: Whether to remove pixels. Defaults to `True`, as
            for Keras's random layers.

    Input shape:
        `(height, width, channels)` or `(batch, height, width, channels)` with
        `"channels_last"`, channels before height with `"channels_first"`.

    Output shape:
        The same.

    Raises:
        ValueError: If a factor or the number of holes is outside its range.

    Example:

    ```python
    import numpy as np
    from keras_strategies.augmentation import RandomCutout

    images = np.random.rand(4, 32, 32, 3)
    cut = RandomCutout(0.5)(images, training=True)
    ```
    """

    def __init__(
        self,
        height_factor: float | tuple[float, float] = 0.5,
        width_factor: float | tuple[float, float] | None = None,
        holes: int = 1,
        factor: float = 1.0,
        fill_value: float = 0.0,
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        self.height_factor: float | tuple[float, float] = checked_factor(
            "height_factor", height_factor, 0
        )
        self.width_factor: float | tuple[float, float] | None = width_factor
        if width_factor is not None:
            self.width_factor = checked_factor("width_factor", width_factor, 0)
        self.holes: int = checks.integer("holes", holes, low=1)
        self.factor: float = checks.real("factor", factor, low=0, high=1)
        self.fill_value: float = checks.real("fill_value", fill_value)
        self._DRAWS = 1 + 4 * self.holes

    def _augment(self, images: Tensor, transformation: Any) -> Tensor:
        size = tuple(
            (value, value) if isinstance(value, float) else value
            for value in (self.height_factor, self.width_factor)
        )
        mask = (holes, size, self.holes)
        uniform = transformation["uniform"]
        return apply(
            erase, images, uniform, mask, self.factor, self.fill_value, layer=self
        )

    def get_config(self) -> Config:
        names = ("height_factor", "width_factor", "holes", "factor", "fill_value")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
