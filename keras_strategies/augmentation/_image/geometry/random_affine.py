"""Geometric augmentation with a single resample."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import backend_ops
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Tensor
from keras_strategies.augmentation._base.factors import checked_factor, symmetric
from keras_strategies.augmentation._base.spatial_layer import SpatialLayer
from keras_strategies.augmentation._common.affine_maps import (
    ORDER,
    affine_maps,
    draw_parameters,
    invert_maps,
)
from keras_strategies.augmentation._common.boxes import affine_move
from keras_strategies.augmentation._common.compiled import apply, resample

_FLIP_MODES = (
    None,
    "horizontal",
    "vertical",
    "horizontal_and_vertical",
    "half_turn",
)
_FILL_MODES = ("constant", "nearest", "reflect", "wrap")


@serializable
class RandomAffine(SpatialLayer):
    """Rotates, translates, shears, zooms and flips images with one resample.

    Equivalent to the stack `RandomFlip`, `RandomRotation`, `RandomTranslation`,
    `RandomShear`, `RandomZoom` of `keras.layers`, in this order and with the same units
    and signs, but multiplies the five maps of each image to one and resamples once.
    That is many times faster, interpolates once instead of four times, and loses no
    corners between two steps. Unlike those layers it does not disable XLA
    (`supports_jit`) for the model.

    Each output pixel `p` is read from the input at

    ```
    flip(rotate(translate(shear(zoom(p)))))
    ```

    with the map of each operation from output to input positions (`order` changes their
    order; `augmentation.fuse` creates this layer from a stack). The center of the image
    is the fixed point of flip, rotation and zoom, the top left pixel that of shear, as
    in Keras's layers.

    Works in a model, called directly, and in `tf.data` pipelines on every backend.
    Active in training only; otherwise images pass through. With a dict of `images`,
    `labels`, `segmentation_masks` and `bounding_boxes`, masks are resampled at the
    nearest pixel, boxes become the box around their four transformed corners, clipped
    to the image (boxes outside get the label -1), and labels pass through.

    Differences to the stack of Keras's layers: fill modes apply once, to the
    composed map; `"wrap"` is periodic on every backend; `"horizontal_and_vertical"`
    draws separately for each direction, where `RandomFlip` draws once for both (here
    `"half_turn"`).

    Args:
        rotation_factor: As `factor` of `RandomRotation`: fraction of a full turn,
            a number `f` for the range `(-f, f)` or a pair `(lower, upper)`, within
            `[-1, 1]`. Positive turns counter-clockwise. Defaults to `0.0`.
        translation_height_factor: As `height_factor` of `RandomTranslation`:
            fraction of the height, number or pair within `[-1, 1]`. Positive moves
            down. Defaults to `0.0`.
        translation_width_factor: The same for the width. Positive moves right.
            Defaults to `0.0`.
        shear_x_factor: As `x_factor` of `RandomShear`: horizontal shift per row, as
            a fraction; number or pair within `[0, 1]`. A pair is a range of magnitudes,
            whose sign is also drawn, together for x and y. Defaults to `0.0`.
        shear_y_factor: The same, vertical shift per column. Defaults to `0.0`.
        zoom_height_factor: As `height_factor` of `RandomZoom`: number or pair
            within `(-1, 1]`. Positive zooms out, negative in. Defaults to `0.0`.
        zoom_width_factor: The same for the width, or `None` to keep the aspect
            ratio. Defaults to `None`.
        flip_mode: As `mode` of `RandomFlip`: `"horizontal"`, `"vertical"`,
            `"horizontal_and_vertical"`, `"half_turn"` (both directions or none), or
            `None` for no flip. Each direction is flipped with probability 0.5.
            Defaults to `None`.
        fill_mode: Extension of the image: `"constant"` (`k k | a b c | k k`),
            `"nearest"` (`a a | a b c | c c`), `"reflect"` (`b a | a b c | c b`) or
            `"wrap"` (`b c | a b c | a b`). Defaults to `"reflect"`.
        interpolation: `"nearest"` or `"bilinear"`. Defaults to `"bilinear"`.
        seed: Integer that makes the draws reproducible, or `None`.
            Defaults to `None`.
        fill_value: Value outside of the image for `"constant"`. Defaults to `0.0`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to Keras's
            `image_data_format`.
        bounding_box_format: Format of the boxes, such as `"xyxy"` or `"rel_xywh"`;
            see `keras.utils.bounding_boxes.convert_format`. Needed only with boxes.
            Defaults to `None`.
        jit_compile: Whether to compile the resample with XLA on TensorFlow and JAX,
            independent of the model. `"auto"` does not compile, on TensorFlow, for
            images of unknown size and for single images outside of a graph, because
            XLA compiles a program for each shape. Defaults to `"auto"`.
        order: The five operations in the order in which they are applied. Defaults to
            `("flip", "rotation", "translation", "shear", "zoom")`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        data: Images, or a dict with the key `images`. Any range; integers are
            cast to the compute dtype of the layer.
        training: Whether to transform images. Set by Keras in `fit`, `evaluate` and
            `predict`. Defaults to `True`, as for Keras's random layers: without it a
            layer, or a stack of layers, augments. `export.to_tflite` exports a model
            as it predicts; so call a model that you serve with `training=False`.

    Input shape:
        `(height, width, channels)` or `(batch, height, width, channels)` with
        `"channels_last"`, channels before height with `"channels_first"`.

    Output shape:
        The same.

    Raises:
        ValueError: If a factor is outside its range or a mode is unknown.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies.augmentation import RandomAffine

    augment = RandomAffine(
        rotation_factor=20 / 360,
        translation_height_factor=0.2,
        translation_width_factor=0.2,
        shear_x_factor=0.2,
        zoom_height_factor=0.2,
        flip_mode="horizontal",
        fill_mode="nearest",
    )
    model = keras.Sequential(
        [keras.Input((32, 32, 3)), augment, keras.layers.Conv2D(8, 3)]
    )
    images = np.random.rand(4, 32, 32, 3)
    augmented = augment(images, training=True)
    ```
    """

    _DRAWS = 10

    def __init__(
        self,
        rotation_factor: float | tuple[float, float] = 0.0,
        translation_height_factor: float | tuple[float, float] = 0.0,
        translation_width_factor: float | tuple[float, float] = 0.0,
        shear_x_factor: float | tuple[float, float] = 0.0,
        shear_y_factor: float | tuple[float, float] = 0.0,
        zoom_height_factor: float | tuple[float, float] = 0.0,
        zoom_width_factor: float | tuple[float, float] | None = None,
        flip_mode: Literal[
            "horizontal", "vertical", "horizontal_and_vertical", "half_turn"
        ]
        | None = None,
        fill_mode: Literal["constant", "nearest", "reflect", "wrap"] = "reflect",
        interpolation: Literal["nearest", "bilinear"] = "bilinear",
        seed: int | None = None,
        fill_value: float = 0.0,
        data_format: str | None = None,
        bounding_box_format: str | None = None,
        jit_compile: Literal["auto"] | bool = "auto",
        order: Sequence[str] = ORDER,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            seed=seed,
            data_format=data_format,
            bounding_box_format=bounding_box_format,
            **kwargs,
        )
        self.rotation_factor: float | tuple[float, float] = checked_factor(
            "rotation_factor", rotation_factor
        )
        self.translation_height_factor: float | tuple[float, float] = checked_factor(
            "translation_height_factor", translation_height_factor
        )
        self.translation_width_factor: float | tuple[float, float] = checked_factor(
            "translation_width_factor", translation_width_factor
        )
        self.shear_x_factor: float | tuple[float, float] = checked_factor(
            "shear_x_factor", shear_x_factor, 0
        )
        self.shear_y_factor: float | tuple[float, float] = checked_factor(
            "shear_y_factor", shear_y_factor, 0
        )
        self.zoom_height_factor: float | tuple[float, float] = _zoom(
            "zoom_height_factor", zoom_height_factor
        )
        self.zoom_width_factor: float | tuple[float, float] | None = zoom_width_factor
        if zoom_width_factor is not None:
            self.zoom_width_factor = _zoom("zoom_width_factor", zoom_width_factor)
        self.flip_mode: str | None = checks.choice("flip_mode", flip_mode, _FLIP_MODES)
        self.fill_mode: str = checks.choice("fill_mode", fill_mode, _FILL_MODES)
        self.interpolation: str = checks.choice(
            "interpolation", interpolation, ("nearest", "bilinear")
        )
        self.fill_value: float = checks.real("fill_value", fill_value)
        self.jit_compile: str | bool = checks.choice(
            "jit_compile", jit_compile, ("auto", True, False)
        )
        self.order: tuple[str, ...] = tuple(order)
        if sorted(self.order) != sorted(ORDER):
            fix = f"Give each of {', '.join(ORDER)} once."
            checks.fail("`order` must have the five operations", fix=fix, order=order)

    def _ranges(self) -> tuple[Any, ...]:
        """Returns the arguments of `draw_parameters` after the uniform numbers."""
        height, width = self.translation_height_factor, self.translation_width_factor
        return (
            symmetric(self.rotation_factor),
            (symmetric(height), symmetric(width)),
            (symmetric(self.shear_x_factor), symmetric(self.shear_y_factor)),
            (
                symmetric(self.zoom_height_factor),
                symmetric(self.zoom_width_factor or 0.0),
            ),
            self.flip_mode,
            self.zoom_width_factor is None,
        )

    def _augment(self, images: Tensor, transformation: Any) -> Tensor:
        return self._transform_images(images, transformation, self.interpolation)

    def _augment_masks(self, masks: Tensor, transformation: Any) -> Tensor:
        return self._transform_images(masks, transformation, "nearest")

    def _transform_images(
        self, images: Tensor, transformation: Any, interpolation: str
    ) -> Tensor:
        return apply(
            resample,
            images,
            transformation["uniform"],
            self._ranges(),
            interpolation,
            self.fill_mode,
            self.fill_value,
            self.order,
            layer=self,
            jit_compile=self.jit_compile,
        )

    def _move(self, transformation: Any) -> Callable[..., Any]:
        ops = backend_ops(self.backend)
        size = {k: transformation[k] for k in ("height", "width")}
        uniform = transformation["uniform"]
        parameters = draw_parameters(uniform, *self._ranges(), ops=ops)
        # Maps say where an output pixel is read; boxes and points go the other way.
        maps = affine_maps(parameters, **size, ops=ops, order=self.order)
        return affine_move(invert_maps(maps), ops)

    def get_config(self) -> Config:
        names = (
            "rotation_factor",
            "translation_height_factor",
            "translation_width_factor",
            "shear_x_factor",
            "shear_y_factor",
            "zoom_height_factor",
            "zoom_width_factor",
            "flip_mode",
            "fill_mode",
            "interpolation",
            "fill_value",
            "jit_compile",
            "order",
        )
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _zoom(name: str, value: Any) -> float | tuple[float, float]:
    fix = "A zoom of -1 would enlarge one pixel to the whole image."
    value = checked_factor(name, value, fix=fix, low_open=True)
    if value == 1:
        checks.fail(
            f"`{name}` as a single number must be below 1", fix=fix, **{name: 1}
        )
    return value
