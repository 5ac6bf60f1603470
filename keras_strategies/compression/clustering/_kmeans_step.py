"""One step of k-means on rows of weights: assignment and update of centroids.

Weights are rows of a matrix (`_channel_rows`), and each row has centroids of its
own, which are sorted. Pure functions on `keras.ops`.

Reference: Lloyd, "Least squares quantization in PCM" (1982).
"""

from typing import Any

import keras
import numpy as np
from keras import ops

# From so many midpoints on, a binary search is faster than comparing with each.
_BINARY_SEARCH_FROM = 32


def nearest(values: Any, centroids: Any) -> Any:
    """For each value the index of the nearest centroid in its row.

    Centroids are sorted, so the index is the number of midpoints between neighbours
    that lie below the value. Few midpoints are counted one by one, many by a binary
    search; neither needs an array larger than the values.
    """
    midpoints = 0.5 * (centroids[:, 1:] + centroids[:, :-1])
    number = midpoints.shape[1]
    index = ops.zeros(values.shape, "int32")
    if number < _BINARY_SEARCH_FROM:
        for k in range(number):
            index = index + ops.cast(values > midpoints[:, k : k + 1], "int32")
        return index
    # The midpoints of a row are filled up to 2**bits - 1 with infinity, so that every
    # search takes the same `bits` steps, each of which settles one bit of the index.
    bits = number.bit_length()
    width = 2**bits - 1
    padding = [(0, 0), (0, width - number)]
    padded = ops.pad(midpoints, padding, constant_values=np.inf)
    flat = ops.reshape(padded, (-1,))
    start = _row_offsets(values, width)
    for step in (2**bit for bit in reversed(range(bits))):
        midpoint = ops.take(flat, start + index + (step - 1))
        index = ops.where(values > midpoint, index + step, index)
    return index


def gather(index: Any, centroids: Any) -> Any:
    """The centroid of each index from `nearest`."""
    start = _row_offsets(index, centroids.shape[1])
    return ops.take(ops.reshape(centroids, (-1,)), start + index)


def update_centroids(
    values: Any, index: Any, centroids: Any, valid_mask: Any = None
) -> Any:
    """Moves each centroid to the mean of its values; an empty one stays.

    Args:
        values: The values.
        index: Indices of their centroids, from `nearest`.
        centroids: The centroids so far.
        valid_mask: Which values count, or `None` for all.
    """
    rows, number = centroids.shape
    offsets = values - gather(index, centroids)
    ones = ops.ones_like(values)
    if valid_mask is not None:
        offsets = ops.where(valid_mask, offsets, 0.0)
        ones = ops.cast(valid_mask, values.dtype)
    segments = ops.reshape(_row_offsets(values, number) + index, (-1,))
    sums, counts = (
        _segment_sums(ops.reshape(numbers, (-1,)), segments, rows * number)
        for numbers in (offsets, ones)
    )
    # The mean of offsets from the old centroid: these are small, so that the sum of
    # a million of them in float32 is exact enough where that of the values is not.
    shift = sums / ops.maximum(counts, 1.0)
    return centroids + ops.reshape(shift, (rows, number))


def kmeans_step(values: Any, centroids: Any, valid_mask: Any = None) -> tuple[Any, Any]:
    """Shared values and centroids after the weights have moved.

    Each weight joins the nearest centroid, and each centroid moves to the mean of
    its weights; values that do not count become zero.
    """
    index = nearest(values, centroids)
    centroids = update_centroids(values, index, centroids, valid_mask)
    shared = gather(index, centroids)
    if valid_mask is not None:
        shared = ops.where(valid_mask, shared, 0.0)
    return shared, centroids


def _segment_sums(values, segments, number):
    """The sum of the values of each segment."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        # The operation of `tf.math.bincount`, of known size as XLA wants it. Without
        # XLA it is twenty times as fast as `segment_sum`.
        from tensorflow import raw_ops

        return raw_ops.DenseBincount(
            input=segments, size=number, weights=values, binary_output=False
        )
    if backend == "torch":  # four times as fast
        return ops.bincount(segments, weights=values, minlength=number)
    return ops.segment_sum(values, segments, number)


def _row_offsets(rows, width):
    """Index of the first entry of each row in a flattened table of `width` columns."""
    if rows.shape[0] == 1:
        return 0
    return ops.convert_to_tensor(
        np.arange(rows.shape[0], dtype="int32")[:, None] * width
    )
