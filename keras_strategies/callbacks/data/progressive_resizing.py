"""Training on images of growing size."""

from typing import Any, Literal

import keras
from keras import ops, tree

from keras_strategies._internal import checks
from keras_strategies.callbacks._common.schedule_values import Schedule
from keras_strategies.callbacks.data._step_data import StepDataCallback


class ProgressiveResizing(StepDataCallback):
    """Trains on small images first and on larger ones later.

    The cost of a convolutional step is proportional to the number of pixels: early
    epochs at half the size take about a quarter of the time and suffice for coarse
    features. Training should end with the size that is used later.

    The images are resized inside the training step, on the device, so that every
    source of data works with plain `model.fit` and validation uses the full size. Each
    new size traces and compiles the step once: a few sizes are better than one for each
    epoch. The model must accept any size, as with
    `keras.Input((None, None, 3))` and a global pooling. The size is logged as
    `image_size`, the longer side. If a fit is stopped by an exception, call
    `restore()`.

    Reference:

    - [Howard, 2018, Training Imagenet in 3 hours for
      $25](https://www.fast.ai/posts/2018-04-30-dawnbench-fastai.html)
    - [Touvron et al., 2019, Fixing the train-test resolution
      discrepancy](https://arxiv.org/abs/1906.06423)

    Args:
        schedule: Side of the images in pixels, or `(height, width)`, as a dict of
            piecewise-constant values `{0: 96, 10: 160, 15: 224}`, first epoch to size,
            or as a function of the epoch.
        resize_targets: Whether targets that are images (four axes) are resized too,
            to the nearest pixel, as for segmentation. Defaults to `False`.
        interpolation: `"bilinear"`, `"nearest"` or `"bicubic"`. Defaults to
            `"bilinear"`.
        data_format: `"channels_last"` or `"channels_first"`. Defaults to `None`: that
            of Keras's config.

    Raises:
        TypeError: If `schedule` is neither callable nor a dict, or does not return a
            size.
        ValueError: If an argument or a size is out of its range; in `fit`, if the
            model accepts images of one size only or no images.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import callbacks

    model = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            keras.layers.Conv2D(4, 3),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(1),
        ]
    )
    model.compile("adam", loss="mse")
    growing = callbacks.ProgressiveResizing({0: 8, 2: 16})
    history = model.fit(
        np.ones((8, 16, 16, 3)), np.ones(8), epochs=3, callbacks=[growing], verbose=0
    )
    print(history.history["image_size"])  # [8, 8, 16]
    ```
    """

    _log_name = "image_size"

    def __init__(
        self,
        schedule: Schedule,
        resize_targets: bool = False,
        interpolation: Literal["bilinear", "nearest", "bicubic"] = "bilinear",
        data_format: Literal["channels_last", "channels_first"] | None = None,
    ):
        super().__init__(schedule)
        self.resize_targets: bool = checks.boolean("resize_targets", resize_targets)
        self.interpolation: str = checks.choice(
            "interpolation", interpolation, ("bilinear", "nearest", "bicubic")
        )
        formats = ("channels_last", "channels_first")
        if data_format is not None:
            checks.choice("data_format", data_format, formats)
        self.data_format: str | None = data_format

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        _refuse_fixed_size(self.model, self._spatial_axes())
        super().on_train_begin(logs)

    def _checked(self, value: Any) -> tuple[int, int]:
        sides = value if isinstance(value, tuple | list) else (value, value)
        if len(sides) != 2:
            checks.fail(
                "A scheduled size must be a side or (height, width)",
                scheduled_size=value,
            )
        return tuple(checks.integer("scheduled size", side, low=1) for side in sides)

    def _transformed(
        self, x: Any, y: Any, sample_weight: Any, value: tuple[int, int]
    ) -> tuple[Any, Any, Any]:
        x = tree.map_structure(lambda t: self._resized(t, value), x)
        if self.resize_targets:
            y = tree.map_structure(lambda t: self._resized(t, value, "nearest"), y)
        return x, y, sample_weight

    def _resized(self, images, size, interpolation=None):
        axes = self._spatial_axes()
        if len(images.shape) != 4 or tuple(images.shape[a] for a in axes) == size:
            return images
        interpolation = interpolation or self.interpolation
        if interpolation == "nearest":
            return _nearest(images, size, axes)
        if "float" not in keras.backend.standardize_dtype(images.dtype):
            images = ops.cast(images, keras.config.floatx())
        images = ops.image.resize(
            images,
            size,
            interpolation=interpolation,
            data_format=self.data_format or keras.config.image_data_format(),
        )
        # Torch returns a transposed view, for which some of its gradients fail.
        flat = ops.reshape(images, (-1,))
        return ops.reshape(flat, (-1, *images.shape[1:]))

    def _spatial_axes(self):
        data_format = self.data_format or keras.config.image_data_format()
        return (1, 2) if data_format == "channels_last" else (2, 3)

    def _logged(self) -> dict[str, Any]:
        return {self._log_name: max(self._value)}


def _nearest(images, size, axes):
    """Nearest pixels by indexing, which keeps class numbers of any integer type."""
    for axis, side in zip(axes, size, strict=True):
        scale = ops.cast(ops.shape(images)[axis], "float32") / side
        # Pixel centres are at half integers.
        index = ops.floor((ops.arange(side, dtype="float32") + 0.5) * scale)
        images = ops.take(images, ops.cast(index, "int32"), axis=axis)
    return images


def _refuse_fixed_size(model, axes):
    """A model without known input shapes is checked by its first step only."""
    inputs = getattr(model, "inputs", None) or []
    shapes = [tuple(tensor.shape) for tensor in inputs]
    images = [shape for shape in shapes if len(shape) == 4]
    fixed = [shape for shape in images if any(shape[axis] for axis in axes)]
    if fixed or (shapes and not images):
        checks.fail(
            "ProgressiveResizing needs a model that accepts images of any size",
            fix="Build it on keras.Input((None, None, channels)), with a global "
            "pooling before the dense layers.",
            input_shapes=shapes,
        )
