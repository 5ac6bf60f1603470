"""What there is to preserve in a weight: zeros, and values that weights share."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_strategies.compression.clustering import _channel_rows

NAMES = ("sparsity", "clusters", "both")
# Symmetric int8 weights have the values -127 to 127.
MOST_VALUES = 255


def wants_zeros(preserve: str | None) -> bool:
    return preserve in ("sparsity", "both")


def wants_clusters(preserve: str | None) -> bool:
    return preserve in ("clusters", "both")


def pruned_sparsity(values: np.ndarray) -> float:
    """The share of zeros, or 0.0 for a kernel that is zero throughout.

    That is a zero initializer, which pruning never leaves. Neither are the zeros of an
    identity initializer of pruning.
    """
    nonzero = values != 0
    if not nonzero.any():
        return 0.0
    if values.ndim == 2 and not nonzero[~np.eye(*values.shape, dtype=bool)].any():
        return 0.0
    return float(np.mean(values == 0))


def shares_values(rows: Iterable[np.ndarray], least: float = 1.0) -> bool:
    """Whether the weights of each row share few values, zeros left aside.

    Args:
        rows: Weights with values of their own.
        least: More than so many weights share a value, on the average.
    """
    # Zeros of pruning are many equal values and no cluster.
    nonzero = [row[row != 0] for row in rows]
    distinct = [np.unique(row).size for row in nonzero]
    is_shared = least * sum(distinct) < sum(row.size for row in nonzero)
    return is_shared and 1 < max(distinct) <= MOST_VALUES


def preservation_plan(
    layer: Any, weight: keras.Variable, preserve: str
) -> dict[str, Any] | None:
    """What to preserve of a weight: a dict that can be saved, or `None`.

    `zeros`: whether zeros stay; `positions`: per row of `_channel_rows.to_rows`, the
    index of one representative weight per cluster, or `None` if clusters need not be
    preserved; `axis`: that of the rows.
    """
    values = ops.convert_to_numpy(ops.copy(weight.value))
    keeps_zeros = wants_zeros(preserve) and pruned_sparsity(values) > 0
    positions = axis = None
    # The coarser grouping first: values shared by the whole kernel are also shared
    # within each channel.
    for candidate in channel_axes(layer, weight) if wants_clusters(preserve) else ():
        rows = ops.convert_to_numpy(_channel_rows.to_rows(values, candidate))
        if shares_values(rows):
            axis, positions = candidate, _positions(rows)
            break
    if not keeps_zeros and positions is None:
        return None
    return {"zeros": keeps_zeros, "positions": positions, "axis": axis}


def channel_axes(layer: Any, weight: keras.Variable) -> tuple[int | None, ...]:
    """The axes by which `cluster` may have formed rows: none, or the channels."""
    axis = _channel_rows.channel_axis(layer, weight)
    return (None,) if axis is None else (None, axis)


def _positions(rows):
    """One index per distinct value of each row, padded to the same length."""
    first = [np.unique(row, return_index=True)[1] for row in rows]
    # Rows with fewer values repeat one: a duplicate centroid changes nothing.
    width = max(index.size for index in first)
    return [np.pad(index, (0, width - index.size), "edge").tolist() for index in first]
