"""Linear resizing of maps along their spatial axes."""

from collections.abc import Sequence

import numpy as np


def resize(maps: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Returns maps `(samples, *spatial)` in another spatial shape, interpolated.

    Linear along each axis with the centers of the pixels at half numbers, the edges
    repeated: what `keras.ops.image.resize` does for images, for any number of axes.
    """
    maps = np.asarray(maps, "float32")
    for axis, size in enumerate(shape, start=1):
        if maps.shape[axis] != size:
            weights = _weights(maps.shape[axis], size)
            maps = np.moveaxis(np.moveaxis(maps, axis, -1) @ weights.T, -1, axis)
    return np.ascontiguousarray(maps)


def _weights(old, new):
    """The matrix from `old` values to `new` ones."""
    centers = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    low = np.floor(centers).astype(int)
    high = np.minimum(low + 1, old - 1)
    weights = np.zeros((new, old), "float32")
    rows = np.arange(new)
    np.add.at(weights, (rows, low), 1 - (centers - low))
    np.add.at(weights, (rows, high), centers - low)
    return weights
