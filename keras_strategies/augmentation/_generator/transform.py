"""From images to a batch, or to one image, as a generator's settings say."""

import numpy as np

from keras_strategies.augmentation._generator import engine
from keras_strategies.augmentation._generator.geometry import GEOMETRIC, matrices
from keras_strategies.augmentation._generator.normalization import batch_standardizer
from keras_strategies.augmentation._generator.resampling import Resampling


def _resampling(generator):
    g = generator
    ranges = (g.rotation_range, g.width_shift_range, g.height_shift_range)
    still = not any(ranges) and not g.shear_range and list(g.zoom_range) == [1, 1]
    return Resampling(g.interpolation_order, g.fill_mode, g.cval, not still)


def transform_images(
    generator, read, draws, shape, source_dtype, normalize=True, **options
):
    """A batch of transformed and normalized images.

    Args:
        generator: The `ImageDataGenerator` with the settings.
        read: `read(i)` returns image `i` with channels last.
        draws: The `Draws` of the batch.
        shape: `(batch, height, width, channels)`.
        source_dtype: Type of the images.
        normalize: Whether the images are normalized.
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


def transform_one(generator, x, parameters):
    """One image `x` by explicit parameters, in its type where that is one of floats."""
    g = generator
    first = g.data_format == "channels_first"
    image = x.transpose(1, 2, 0) if first else x
    given = {k: v for k, v in parameters.items() if k in GEOMETRIC and v is not None}
    height, width, _ = image.shape
    floats = np.issubdtype(x.dtype, np.floating)
    plain = matrices({}, height, width)
    map_ = matrices(given, height, width, g.keras_compatible)
    if not np.array_equal(map_, plain):
        resampling = _resampling(g)
        dtype = resampling.source_type(image.dtype)
        moved = np.empty(image.shape, dtype)
        source = np.ascontiguousarray(image, dtype)
        warp, shift = resampling.warper(*source.shape, dtype)
        warp(source, map_[0] + shift, moved)
        image = moved
    shift, brightness = (
        parameters.get(name) for name in ("channel_shift_intensity", "brightness")
    )
    if shift is not None or brightness is not None:
        image = engine.shift_and_brighten(image, shift, brightness, g.keras_compatible)
    image = image.transpose(2, 0, 1) if first else image
    if floats:
        return image.astype(x.dtype, copy=False)
    low, high = np.iinfo(x.dtype).min, np.iinfo(x.dtype).max
    if image.dtype != x.dtype:
        image = np.clip(np.rint(image), low, high).astype(x.dtype)
    return image
