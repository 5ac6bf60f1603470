import keras

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import (
    BaseImagePreprocessingLayer,
    backend_ops,
    is_called_by_itself,
)
from keras_strategies._internal.registration import serializable
from keras_strategies.augmentation._compiled import (
    fits_xla,
    resample,
    resample_with_xla,
)
from keras_strategies.augmentation.affine import (
    affine_maps,
    draw_parameters,
    invert_maps,
)

_FLIP_MODES = (None, "horizontal", "vertical", "horizontal_and_vertical")
_FILL_MODES = ("constant", "nearest", "reflect", "wrap")


@serializable
class RandomAffine(BaseImagePreprocessingLayer):
    """Rotates, shifts, shears, zooms and flips images with one resample.

    Does what the stack `RandomFlip`, `RandomRotation`, `RandomTranslation`,
    `RandomShear`, `RandomZoom` of `keras.layers` does, in this order and with the
    same units and signs, but multiplies the five maps of each image into one and
    reads the pixels once. That is many times faster, blurs once instead of four
    times, and loses no corner between two steps. Unlike those layers it leaves XLA
    on (`supports_jit`) for the model around it.

    Each output pixel `p` is read from the input at

    ```
    flip(rotate(translate(shear(zoom(p)))))
    ```

    with the map of each operation from output to input places. Flip, rotation and
    zoom keep the centre of the image in place, shear the top left pixel, as Keras's
    layers do.

    Works in a model, called directly, and in `tf.data` pipelines on every backend.
    Active in training only; otherwise the images pass unchanged. With a dict
    of `images`, `labels`, `segmentation_masks` and `bounding_boxes`, masks follow
    the images with the nearest pixel, boxes become the box around their four moved
    corners, cut at the border (boxes that left the image get the label -1), and
    labels pass through.

    Differences to the stack of Keras's layers: fill modes apply once, to the
    composed map; `"wrap"` is periodic on every backend; `"horizontal_and_vertical"`
    throws a coin for each direction, where `RandomFlip` throws one for both; and a
    model that is called or exported without `training` leaves the images alone,
    where those layers go on augmenting.

    Args:
        rotation_factor: As `factor` of `RandomRotation`: fraction of a full turn,
            a number `f` for the range `(-f, f)` or a pair `(lower, upper)`, within
            `[-1, 1]`. Positive turns counter-clockwise. Defaults to `0.0`.
        translation_height_factor: As `height_factor` of `RandomTranslation`:
            fraction of the height, number or pair within `[-1, 1]`. Positive moves
            down. Defaults to `0.0`.
        translation_width_factor: The same for the width. Positive moves right.
            Defaults to `0.0`.
        shear_x_factor: As `x_factor` of `RandomShear`: horizontal shift a row, as
            a fraction; number or pair within `[0, 1]`. A pair is a range of sizes,
            whose sign is drawn too, together for x and y. Defaults to `0.0`.
        shear_y_factor: The same, vertical shift a column. Defaults to `0.0`.
        zoom_height_factor: As `height_factor` of `RandomZoom`: number or pair
            within `(-1, 1]`. Positive zooms out, negative in. Defaults to `0.0`.
        zoom_width_factor: The same for the width, or `None` to keep the aspect
            ratio. Defaults to `None`.
        flip_mode: As `mode` of `RandomFlip`: `"horizontal"`, `"vertical"`,
            `"horizontal_and_vertical"`, or `None` for no flip. Each direction is
            flipped with probability 0.5. Defaults to `None`.
        fill_mode: What is outside the image: `"constant"` (`k k | a b c | k k`),
            `"nearest"` (`a a | a b c | c c`), `"reflect"` (`b a | a b c | c b`) or
            `"wrap"` (`b c | a b c | a b`). Defaults to `"reflect"`.
        interpolation: `"nearest"` or `"bilinear"`. Defaults to `"bilinear"`.
        seed: Integer that makes the draws reproducible, or `None`.
            Defaults to `None`.
        fill_value: The value outside under `"constant"`. Defaults to `0.0`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to Keras's
            `image_data_format`.
        bounding_box_format: Format of the boxes, such as `"xyxy"` or `"rel_xywh"`;
            see `keras.utils.bounding_boxes.convert_format`. Needed only with boxes.
            Defaults to `None`.
        jit_compile: Whether the resample itself is compiled with XLA on
            TensorFlow and JAX, whatever the model around it does. `"auto"` leaves
            out, on TensorFlow, images of unknown size and single images outside a
            graph: XLA compiles a program for each shape it meets. Defaults to
            `"auto"`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        data: Images, or a dict with the key `images`. Any range; integers are
            cast to the compute dtype of the layer.
        training: Whether images are transformed. Set by Keras in `fit`, `evaluate`
            and `predict`. Without it, a layer that is called by itself transforms
            and a layer in a model does not, so that an exported model never
            augments.

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

    _USE_BASE_FACTOR = False

    def __init__(
        self,
        rotation_factor=0.0,
        translation_height_factor=0.0,
        translation_width_factor=0.0,
        shear_x_factor=0.0,
        shear_y_factor=0.0,
        zoom_height_factor=0.0,
        zoom_width_factor=None,
        flip_mode=None,
        fill_mode="reflect",
        interpolation="bilinear",
        seed=None,
        fill_value=0.0,
        data_format=None,
        bounding_box_format=None,
        jit_compile="auto",
        **kwargs,
    ):
        super().__init__(
            data_format=data_format, bounding_box_format=bounding_box_format, **kwargs
        )
        self.rotation_factor = _factor("rotation_factor", rotation_factor, -1)
        self.translation_height_factor = _factor(
            "translation_height_factor", translation_height_factor, -1
        )
        self.translation_width_factor = _factor(
            "translation_width_factor", translation_width_factor, -1
        )
        self.shear_x_factor = _factor("shear_x_factor", shear_x_factor, 0)
        self.shear_y_factor = _factor("shear_y_factor", shear_y_factor, 0)
        self.zoom_height_factor = _zoom("zoom_height_factor", zoom_height_factor)
        self.zoom_width_factor = zoom_width_factor
        if zoom_width_factor is not None:
            self.zoom_width_factor = _zoom("zoom_width_factor", zoom_width_factor)
        self.flip_mode = checks.choice("flip_mode", flip_mode, _FLIP_MODES)
        self.fill_mode = checks.choice("fill_mode", fill_mode, _FILL_MODES)
        self.interpolation = checks.choice(
            "interpolation", interpolation, ("nearest", "bilinear")
        )
        self.seed = checks.integer("seed", seed, optional=True)
        self.fill_value = checks.real("fill_value", fill_value)
        self.jit_compile = checks.choice(
            "jit_compile", jit_compile, ("auto", True, False)
        )
        self.generator = keras.random.SeedGenerator(self.seed)

    def call(self, data, training=None):
        if training is None:
            training = is_called_by_itself(self)
        return super().call(data, training=training)

    def get_random_transformation(self, data, training=True, seed=None):
        if not training:
            return None
        ops = backend_ops(self.backend)
        images = data["images"] if isinstance(data, dict) else data
        shape = ops.shape(images)
        if seed is None:
            seed = self._get_seed_generator(self.backend.name)
        batch = shape[0] if len(shape) == 4 else 1
        uniform = self.backend.random.uniform((batch, 10), dtype="float32", seed=seed)
        last = self.data_format == "channels_last"
        height, width = shape[-3:-1] if last else shape[-2:]
        return {"uniform": uniform, "height": height, "width": width}

    def _drawing(self):
        """The arguments of `draw_parameters` after the uniform numbers."""
        height, width = self.translation_height_factor, self.translation_width_factor
        return (
            _range(self.rotation_factor),
            (_range(height), _range(width)),
            (_range(self.shear_x_factor), _range(self.shear_y_factor)),
            (_range(self.zoom_height_factor), _range(self.zoom_width_factor or 0.0)),
            self.flip_mode,
            self.zoom_width_factor is None,
        )

    def transform_images(self, images, transformation, training=True):
        images = self.backend.cast(images, self.compute_dtype)
        if not training:
            return images
        return self._transform_images(images, transformation, self.interpolation)

    def _transform_images(self, images, transformation, interpolation):
        ops = backend_ops(self.backend)
        uniform = transformation["uniform"]
        settings = (
            self._drawing(),
            interpolation,
            self.fill_mode,
            self.fill_value,
            self.data_format,
        )
        backend = self.backend.name
        if self.jit_compile is True and backend in ("tensorflow", "jax"):
            compiled = True
        else:
            compiled = self.jit_compile == "auto" and fits_xla(images, backend)
        if compiled:
            return resample_with_xla(
                images, uniform, *settings, ops=ops, backend=backend
            )
        return resample(images, uniform, *settings, ops=ops)

    def transform_segmentation_masks(
        self, segmentation_masks, transformation, training=True
    ):
        ops = backend_ops(self.backend)
        masks = ops.convert_to_tensor(segmentation_masks)
        if not training:
            return masks
        if len(masks.shape) == 4:
            return self._transform_images(masks, transformation, "nearest")
        # Masks without a channel axis: (batch, height, width).
        axis = -1 if self.data_format == "channels_last" else 1
        masks = ops.expand_dims(masks, axis)
        masks = self._transform_images(masks, transformation, "nearest")
        return ops.squeeze(masks, axis)

    def transform_labels(self, labels, transformation, training=True):
        return labels

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        if not training:
            return bounding_boxes
        ops = backend_ops(self.backend)
        size = {k: transformation[k] for k in ("height", "width")}
        convert = keras.utils.bounding_boxes.convert_format
        own = self.bounding_box_format
        moved = convert(bounding_boxes, source=own, target="xyxy", **size)
        drawn = draw_parameters(transformation["uniform"], *self._drawing(), ops=ops)
        maps = affine_maps(drawn, **size, ops=ops)
        moved["boxes"] = _move_boxes(moved["boxes"], invert_maps(maps), ops)
        moved = keras.utils.bounding_boxes.clip_to_image_size(
            moved, bounding_box_format="xyxy", **size
        )
        return convert(moved, source="xyxy", target=own, **size)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
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
            "seed",
            "fill_value",
            "data_format",
            "bounding_box_format",
            "jit_compile",
        )
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _move_boxes(boxes, maps, ops):
    """The boxes `(batch, n, 4)` around the moved corners of boxes in `xyxy`."""
    a0, a1, a2, b0, b1, b2 = (ops.reshape(m, (-1, 1, 1)) for m in maps)
    # Boxes measure from the edge of the first pixel, maps from its centre.
    left, top, right, bottom = (boxes[..., i : i + 1] - 0.5 for i in range(4))
    x = ops.concatenate([left, right, left, right], axis=-1)
    y = ops.concatenate([top, top, bottom, bottom], axis=-1)
    x, y = a0 * x + a1 * y + a2 + 0.5, b0 * x + b1 * y + b2 + 0.5
    sides = [ops.min(x, -1), ops.min(y, -1), ops.max(x, -1), ops.max(y, -1)]
    return ops.stack(sides, axis=-1)


def _factor(name, value, low, fix="", low_open=False):
    """Checks a number or a pair; a number stands for `(-value, value)`."""
    if not isinstance(value, list | tuple):
        return checks.real(name, value, low=low, high=1, low_open=low_open, fix=fix)
    if len(value) != 2:
        fix = "Give a number or a pair (lower, upper)."
        checks.fail(f"`{name}` must have two numbers", fix=fix, **{name: value})
    pair = [
        checks.real(name, v, low=low, high=1, low_open=low_open, fix=fix) for v in value
    ]
    return tuple(sorted(pair))


def _zoom(name, value):
    fix = "A zoom of -1 would enlarge one pixel to the whole image."
    value = _factor(name, value, -1, fix, low_open=True)
    if value == 1:
        checks.fail(
            f"`{name}` as a single number must be below 1", fix=fix, **{name: 1}
        )
    return value


def _range(factor):
    return factor if isinstance(factor, tuple) else (-abs(factor), abs(factor))
