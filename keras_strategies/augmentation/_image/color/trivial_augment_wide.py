"""TrivialAugment: one random operation per image."""

from collections.abc import Callable
from typing import Any, Literal

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import backend_ops
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Tensor
from keras_strategies.augmentation._base.image_layer import (
    check_color_channels,
    checked_value_range,
)
from keras_strategies.augmentation._base.spatial_layer import SpatialLayer
from keras_strategies.augmentation._common.affine_maps import invert_maps
from keras_strategies.augmentation._common.boxes import affine_move
from keras_strategies.augmentation._common.compiled import apply
from keras_strategies.augmentation._image.color.trivial_augment_ops import (
    augment,
    draw,
    maps,
    transform_masks,
)


@serializable
class TrivialAugmentWide(SpatialLayer):
    """Applies one operation of random magnitude to each image.

    A policy without hyperparameters that the paper found to be as good as searched
    ones. For each image one of fourteen operations and one of `num_magnitude_bins`
    magnitudes are drawn uniformly:

    ```
    identity; shear x, y (to 0.99); translate x, y (to 32 pixels); rotate (to 135
    degrees); brightness, color, contrast, sharpness (0.01 to 1.99); posterize (8 to
    2 bits); solarize (threshold 255 to 0); auto-contrast; equalize
    ```

    Unlike `RandAugment` of Keras, which draws the operations once for the whole
    batch, every image has its own operation. Geometric operations are one resample and
    color operations one matrix product for the whole batch.

    Reference: Müller and Hutter, 2021, [TrivialAugment: Tuning-free Yet
    State-of-the-Art Data Augmentation](https://arxiv.org/abs/2103.10158), the wide
    space.

    Works in a model, called directly, and in `tf.data` pipelines on every backend.
    Active in training only. Masks (0 outside of the image) and boxes are
    transformed by the geometric operations, labels pass through.

    Args:
        value_range: Lowest and highest value of the images; other values are clipped.
            Defaults to `(0, 255)`.
        num_magnitude_bins: Number of magnitudes, at least 2. Defaults to `31`.
        interpolation: `"nearest"`, as in the paper, or `"bilinear"`. Defaults to
            `"nearest"`.
        fill_value: Value outside of a transformed image, in the unit of `value_range`.
            Defaults to `0.0`.
        seed: Integer that makes the draws reproducible, or `None`.
            Defaults to `None`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to Keras's
            `image_data_format`.
        bounding_box_format: Format of the boxes, such as `"xyxy"` or `"rel_xywh"`.
            Needed only with boxes. Defaults to `None`.
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
        ValueError: If an argument is outside its range, or images have neither one
            nor three channels.

    Example:

    ```python
    import numpy as np
    from keras_strategies.augmentation import TrivialAugmentWide

    images = np.random.randint(0, 256, (4, 32, 32, 3))
    changed = TrivialAugmentWide()(images, training=True)
    ```
    """

    _DRAWS = 3

    def __init__(
        self,
        value_range: tuple[float, float] = (0, 255),
        num_magnitude_bins: int = 31,
        interpolation: Literal["nearest", "bilinear"] = "nearest",
        fill_value: float = 0.0,
        seed: int | None = None,
        data_format: str | None = None,
        bounding_box_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            seed=seed,
            data_format=data_format,
            bounding_box_format=bounding_box_format,
            **kwargs,
        )
        self.value_range: tuple[float, float] = checked_value_range(value_range)
        self.num_magnitude_bins: int = checks.integer(
            "num_magnitude_bins", num_magnitude_bins, low=2
        )
        self.interpolation: str = checks.choice(
            "interpolation", interpolation, ("nearest", "bilinear")
        )
        self.fill_value: float = checks.real("fill_value", fill_value)

    def _augment(self, images: Tensor, transformation: Any) -> Tensor:
        check_color_channels(images, self.data_format)
        return apply(
            augment,
            images,
            transformation["uniform"],
            self.num_magnitude_bins,
            self.value_range,
            self.interpolation,
            self.fill_value,
            layer=self,
        )

    def _augment_masks(self, masks: Tensor, transformation: Any) -> Tensor:
        uniform, bins = transformation["uniform"], self.num_magnitude_bins
        return apply(transform_masks, masks, uniform, bins, layer=self)

    def _move(self, transformation: Any) -> Callable[..., Any]:
        ops = backend_ops(self.backend)
        size = {k: transformation[k] for k in ("height", "width")}
        draws = draw(transformation["uniform"], self.num_magnitude_bins, ops)
        return affine_move(invert_maps(maps(draws, **size, ops=ops)), ops)

    def get_config(self) -> Config:
        names = ("value_range", "num_magnitude_bins", "interpolation", "fill_value")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
