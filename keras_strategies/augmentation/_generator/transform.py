"""Transformation of images to a batch, or of one image, by a generator's settings."""

from collections.abc import Callable
from typing import Any

import numpy as np

from keras_strategies._internal.types import Tensor
from keras_strategies.augmentation._generator import engine
from keras_strategies.augmentation._generator.geometry import GEOMETRIC, matrices
from keras_strategies.augmentation._generator.normalization import batch_standardizer
from keras_strategies.augmentation._generator.resampling import Resampling


def _resampling(generator: Any) -> Resampling:
    g = generator
    ranges = (g.rotation_range, g.width_shift_range, g.height_shift_range)
    only_flips = not any(ranges) and not g.shear_range
    only_flips = only_flips and list(g.zoom_range) == [1, 1]
    return Resampling(g.interpolation_order, g.fill_mode, g.cval, not only_flips)


def transform_images(
    generator: Any,
    read: Callable[[int], Any],
    draws: Any,
    shape: Any,
    source_dtype: Any,
    normalize: bool = True,
    **options: Any,
) -> Tensor:
    """Returns a batch of transformed and normalized images.

    Args:
        generator: The `ImageDataGenerator` with the settings.
        read: `read(i)` returns image `i` with channels last.
        draws: The `Draws` of the batch.
        shape: `(batch, height, width, channels)`.
        source_dtype: Type of the images.
        normalize: Whether to normalize the images.
        options: `heavy` and `ready` of `fill_batch`.

    Returns:
        Array in the data format and the type of the generator.
    """
    dtype = np.dtype(generator.dtype)
    working = dtype if dtype in ("float32", "float64") else np.dtype("float32")
    batch = np.empty(shape, working)
    engine.fill_batch(
        read,
        draws,
        batch,
        source_dtype,
        _resampling(generator),
        standardize=batch_standardizer(generator, working) if normalize else None,
        truncate=generator.keras_compatible,
        threads=generator.threads,
        **options,
    )
    if generator.data_format == "channels_first":
        batch = np.ascontiguousarray(batch.transpose(0, 3, 1, 2))
    return batch.astype(dtype, copy=False)


def transform_image(generator: Any, x: Any, parameters: Any) -> np.ndarray:
    """Transforms one image by explicit parameters; a float type is preserved."""
    g = generator
    is_channels_first = g.data_format == "channels_first"
    image = x.transpose(1, 2, 0) if is_channels_first else x
    geometric = {
        k: v for k, v in parameters.items() if k in GEOMETRIC and v is not None
    }
    height, width, _ = image.shape
    is_float = np.issubdtype(x.dtype, np.floating)
    identity = matrices({}, height, width)
    map_ = matrices(geometric, height, width, g.keras_compatible)
    if not np.array_equal(map_, identity):
        resampling = _resampling(g)
        dtype = resampling.source_type(image.dtype)
        warped = np.empty(image.shape, dtype)
        source = np.ascontiguousarray(image, dtype)
        warp, offset = resampling.warper(*source.shape, dtype)
        warp(source, map_[0] + offset, warped)
        image = warped
    shift, brightness = (
        parameters.get(name) for name in ("channel_shift_intensity", "brightness")
    )
    if shift is not None or brightness is not None:
        image = engine.shift_and_brighten(image, shift, brightness, g.keras_compatible)
    image = image.transpose(2, 0, 1) if is_channels_first else image
    if is_float:
        return image.astype(x.dtype, copy=False)
    low, high = np.iinfo(x.dtype).min, np.iinfo(x.dtype).max
    if image.dtype != x.dtype:
        image = np.clip(np.rint(image), low, high).astype(x.dtype)
    return image
