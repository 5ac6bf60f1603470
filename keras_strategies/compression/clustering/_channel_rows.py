"""Weights as rows of a matrix: one row for each group with centroids of its own.

There is one row for all weights of a kernel, or one for each output channel.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

_LAYERS = keras.layers
_CONVOLUTIONS = (
    _LAYERS.Conv1D,
    _LAYERS.Conv2D,
    _LAYERS.Conv3D,
    _LAYERS.SeparableConv1D,
    _LAYERS.SeparableConv2D,
)
_TRANSPOSED = (
    _LAYERS.Conv1DTranspose,
    _LAYERS.Conv2DTranspose,
    _LAYERS.Conv3DTranspose,
)


def channel_axis(layer: Any, weight: Any) -> int | None:
    """The axis of a convolution kernel's output channels, else `None`."""
    # Kernels of transposed convolutions are (..., outputs, inputs).
    if isinstance(layer, _TRANSPOSED):
        return len(weight.shape) - 2
    return len(weight.shape) - 1 if isinstance(layer, _CONVOLUTIONS) else None


def to_rows(values: Any, axis: int | None) -> Any:
    """All values in one row, or one row for each index of `axis`."""
    if axis is None:
        return ops.reshape(values, (1, -1))
    return ops.reshape(ops.moveaxis(values, axis, 0), (values.shape[axis], -1))


def from_rows(rows: Any, shape: Sequence[int], axis: int | None) -> Any:
    """Undoes `to_rows`."""
    if axis is None:
        return ops.reshape(rows, shape)
    moved = (shape[axis], *shape[:axis], *shape[axis + 1 :])
    return ops.moveaxis(ops.reshape(rows, moved), 0, axis)


def most_distinct_values(values: Any, axis: int | None) -> int:
    """The number of different values in the row that has most of them."""
    rows = ops.convert_to_numpy(to_rows(values, axis))
    return max(np.unique(row).size for row in rows)
