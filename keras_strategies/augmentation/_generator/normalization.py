"""Normalization of images and its statistics."""

import functools
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

_EPSILON = 1e-6


def _warn_unfitted(name: str) -> None:
    warnings.warn(
        f"This ImageDataGenerator specifies `{name}`, but it hasn't been fit on any "
        "training data. Fit it first by calling `.fit(numpy_data)`.",
        stacklevel=3,
    )


def standardize(generator: Any, x: Any, samples: bool = False) -> Any:
    """Normalizes `x`, in place if possible, and returns it.

    Args:
        generator: The `ImageDataGenerator` with the settings.
        x: Float array, one image or a batch, in the data format of the generator.
        samples: Whether the first axis is that of images, each with its own mean and
            deviation; otherwise `x` is one image.
    """
    g = generator
    axes = tuple(range(1, x.ndim)) if samples else None
    if g.preprocessing_function is not None:
        if samples:
            x = np.stack([g.preprocessing_function(image) for image in x])
        else:
            x = g.preprocessing_function(x)
    if g.rescale:
        x *= g.rescale
    if g.samplewise_center:
        x -= np.mean(x, axis=axes, keepdims=True)
    if g.samplewise_std_normalization:
        x /= np.std(x, axis=axes, keepdims=True) + _EPSILON
    if g.featurewise_center:
        if g.mean is None:
            _warn_unfitted("featurewise_center")
        else:
            x -= g.mean
    if g.featurewise_std_normalization:
        if g.std is None:
            _warn_unfitted("featurewise_std_normalization")
        else:
            x /= g.std + _EPSILON
    if g.zca_whitening:
        if g.zca_whitening_matrix is None:
            _warn_unfitted("zca_whitening")
        else:
            flat = x.reshape(-1, math.prod(x.shape[-3:]))
            x = np.reshape(flat @ g.zca_whitening_matrix, x.shape)
    return x


def _to_channels_last(statistic: Any, channels_first: bool) -> np.ndarray:
    """Returns a statistic for images with channels last."""
    statistic = np.asarray(statistic)
    if channels_first and statistic.ndim == 3:
        return statistic.transpose(1, 2, 0)
    return statistic


def batch_standardizer(generator: Any, dtype: Any) -> Callable[[Any], Any] | None:
    """Returns a function that normalizes images with channels last, or `None`.

    Without a preprocessing function, samplewise statistics and whitening, it is one
    product and one sum.
    """
    g = generator
    is_channels_first = g.data_format == "channels_first"
    special = g.preprocessing_function is not None or g.samplewise_center
    if special or g.samplewise_std_normalization or g.zca_whitening:
        return functools.partial(_standardize_batch, g, is_channels_first)
    scale, offset = g.rescale or 1.0, 0.0
    if scale == 1 and not (g.featurewise_center or g.featurewise_std_normalization):
        return None
    if g.featurewise_center:
        if g.mean is None:
            _warn_unfitted("featurewise_center")
        else:
            offset = -_to_channels_last(g.mean, is_channels_first).astype("float64")
    if g.featurewise_std_normalization:
        if g.std is None:
            _warn_unfitted("featurewise_std_normalization")
        else:
            deviation = (
                _to_channels_last(g.std, is_channels_first).astype("float64") + _EPSILON
            )
            scale, offset = scale / deviation, offset / deviation
    scale, offset = np.asarray(scale, dtype), np.asarray(offset, dtype)
    if (scale == 1).all() and (offset == 0).all():
        return None
    return functools.partial(_scale, scale, offset)


def _scale(scale: np.ndarray, offset: np.ndarray, x: Any) -> np.ndarray:
    if (scale != 1).any():
        x *= scale
    if offset.any():
        x += offset
    return x


def _standardize_batch(generator: Any, channels_first: bool, x: Any) -> np.ndarray:
    if not channels_first:
        return standardize(generator, x, samples=True)
    x = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    return standardize(generator, x, samples=True).transpose(0, 2, 3, 1)


def fit_statistics(generator: Any, x: Any) -> None:
    """Sets `mean`, `std` and `zca_whitening_matrix` of the generator from images.

    `x` is an array of any type in the data format of the generator. The attributes are
    set after everything is computed.
    """
    g = generator
    mean = std = whitening = None
    if g.featurewise_center or g.featurewise_std_normalization:
        mean, deviation = _moments(g, x)
        if g.featurewise_std_normalization:
            std = deviation.astype(g.dtype)
        mean = mean.astype(g.dtype)
    if g.zca_whitening:
        centered = x * (g.rescale or 1) - mean
        flat = centered.astype(np.result_type(g.dtype, "float32")).reshape(len(x), -1)
        # Whitening from the singular value decomposition of the data.
        u, values, _ = np.linalg.svd(flat.T, full_matrices=False)
        scaled = u * (np.sqrt(len(x)) / (values + g.zca_epsilon))
        whitening = scaled @ u.T
    if g.featurewise_center:
        g.mean = mean
    if g.featurewise_std_normalization:
        g.std = std
    if g.zca_whitening:
        g.zca_whitening_matrix = whitening


def _moments(generator: Any, x: Any) -> tuple[Any, Any]:
    """Returns mean and deviation of each channel, in float64 over groups of images."""
    axes = (0, generator.row_axis, generator.col_axis)
    rescale = generator.rescale or 1
    group = max(1, (1 << 20) // math.prod(x.shape[1:]))
    count = x.size // x.shape[generator.channel_axis]
    shape = [1, 1, 1]
    shape[generator.channel_axis - 1] = x.shape[generator.channel_axis]

    def average(function: Callable[[Any], Any]) -> Any:
        groups = (x[i : i + group].astype("float64") for i in range(0, len(x), group))
        return sum(function(g * rescale).sum(axis=axes) for g in groups) / count

    mean = average(lambda images: images).reshape(shape)
    return mean, np.sqrt(average(lambda images: (images - mean) ** 2)).reshape(shape)
