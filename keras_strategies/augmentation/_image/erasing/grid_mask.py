"""GridMask: removal of a grid of squares."""

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
from keras_strategies.augmentation._image.erasing.mask_ops import erase, grid


@serializable
class GridMask(ImageLayer):
    """Removes a grid of squares from images.

    Removes information evenly: a single erased rectangle may hide an object completely
    or not at all, a grid hides a part of everything. With the edge length `d` of a
    unit, drawn for each image, the pixel at `(u, v)` of the rotated and shifted grid is
    removed where

    ```
    u mod d >= r d  and  v mod d >= r d
    ```

    so that a fraction `(1 - r)^2` of the pixels is removed.

    Reference: Chen et al., 2020, [GridMask Data
    Augmentation](https://arxiv.org/abs/2001.04086).

    Works in a model, called directly, and in `tf.data` pipelines on every backend.
    Active in training only. Masks, boxes and labels pass through.

    Args:
        unit_factor: Edge length of a unit as a fraction of the shorter side of the
            image, a pair `(lower, upper)` within `(0, 1]` or one number for both.
            Defaults to `(96 / 224, 1.0)`, as in the paper on ImageNet.
        ratio_factor: Kept fraction `r` of the edge, a pair within `[0, 1]` or one
            number for both. Defaults to `0.6`.
        rotation_factor: Angle of the grid as a fraction of a full turn, a number `f`
            for `(-f, f)` or a pair within `[-1, 1]`. Defaults to `1.0`.
        factor: Probability that an image is masked, in `[0, 1]`. The paper increases it
            to 0.8 during training. Defaults to `0.8`.
        fill_value: Value of the removed pixels. Defaults to `0.0`.
        seed: Integer that makes the draws reproducible, or `None`.
            Defaults to `None`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to Keras's
            `image_data_format`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        data: Images, or a dict with the key `images`.
        training: Whether to mask. Defaults to `True`, as
            for Keras's random layers.

    Input shape:
        `(height, width, channels)` or `(batch, height, width, channels)` with
        `"channels_last"`, channels before height with `"channels_first"`.

    Output shape:
        The same.

    Raises:
        ValueError: If a factor is outside its range.

    Example:

    ```python
    import numpy as np
    from keras_strategies.augmentation import GridMask

    images = np.random.rand(4, 32, 32, 3)
    masked = GridMask(ratio_factor=0.5)(images, training=True)
    ```
    """

    _DRAWS = 6

    def __init__(
        self,
        unit_factor: float | tuple[float, float] = (96 / 224, 1.0),
        ratio_factor: float | tuple[float, float] = 0.6,
        rotation_factor: float | tuple[float, float] = 1.0,
        factor: float = 0.8,
        fill_value: float = 0.0,
        seed: int | None = None,
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        self.unit_factor: float | tuple[float, float] = checked_factor(
            "unit_factor", unit_factor, 0, low_open=True
        )
        self.ratio_factor: float | tuple[float, float] = checked_factor(
            "ratio_factor", ratio_factor, 0
        )
        self.rotation_factor: float | tuple[float, float] = checked_factor(
            "rotation_factor", rotation_factor
        )
        self.factor: float = checks.real("factor", factor, low=0, high=1)
        self.fill_value: float = checks.real("fill_value", fill_value)

    def _augment(self, images: Tensor, transformation: Any) -> Tensor:
        sizes = constant(self.unit_factor), constant(self.ratio_factor)
        mask = (grid, *sizes, symmetric(self.rotation_factor))
        uniform = transformation["uniform"]
        return apply(
            erase, images, uniform, mask, self.factor, self.fill_value, layer=self
        )

    def get_config(self) -> Config:
        names = (
            "unit_factor",
            "ratio_factor",
            "rotation_factor",
            "factor",
            "fill_value",
        )
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
