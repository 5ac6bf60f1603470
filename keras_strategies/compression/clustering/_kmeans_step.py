"""The mathematics of weight clustering: groups of weights share few values.

Weights are rows of a matrix, one row a group that has centroids of its own (one
row in all, or one a channel); centroids are sorted in each row.
"""

import keras
import numpy as np
from keras import ops

# From so many middles on, a binary search is faster than to compare with each.
_MANY = 32


def to_rows(values, axis):
    """All values in one row, or one row for each index of `axis`."""
    if axis is None:
        return ops.reshape(values, (1, -1))
    return ops.reshape(ops.moveaxis(values, axis, 0), (values.shape[axis], -1))


def from_rows(rows, shape, axis):
    """Undoes `to_rows`."""
    if axis is None:
        return ops.reshape(rows, shape)
    moved = (shape[axis], *shape[:axis], *shape[axis + 1 :])
    return ops.moveaxis(ops.reshape(rows, moved), 0, axis)


def nearest(values, centroids):
    """For each value the number of the nearest centroid in its row.

    That is the number of middles between neighbours that lie below it. Few are
    counted one by one, many by a binary search; neither needs an array larger than
    the values.
    """
    middles = 0.5 * (centroids[:, 1:] + centroids[:, :-1])
    number = middles.shape[1]
    index = ops.zeros(values.shape, "int32")
    if number < _MANY:
        for k in range(number):
            index = index + ops.cast(values > middles[:, k : k + 1], "int32")
        return index
    bits = number.bit_length()
    width = 2**bits - 1
    margin = [(0, 0), (0, width - number)]
    middles = ops.reshape(ops.pad(middles, margin, constant_values=np.inf), (-1,))
    start = _starts(values, width)
    for step in (2**bit for bit in reversed(range(bits))):
        middle = ops.take(middles, start + index + (step - 1))
        index = ops.where(values > middle, index + step, index)
    return index


def look_up(index, centroids):
    """The centroids that `nearest` has numbered."""
    start = _starts(index, centroids.shape[1])
    return ops.take(ops.reshape(centroids, (-1,)), start + index)


def recentre(values, index, centroids, counted=None):
    """Moves each centroid to the mean of its values; an empty one stays.

    Args:
        values: The values.
        index: Their numbers from `nearest`.
        centroids: The centroids so far.
        counted: Which values count, or `None` for all.
    """
    rows, number = centroids.shape
    offsets = values - look_up(index, centroids)
    ones = ops.ones_like(values)
    if counted is not None:
        offsets = ops.where(counted, offsets, 0.0)
        ones = ops.cast(counted, values.dtype)
    segments = ops.reshape(_starts(values, number) + index, (-1,))
    sums, counts = (
        _sums(ops.reshape(numbers, (-1,)), segments, rows * number)
        for numbers in (offsets, ones)
    )
    # The mean of small offsets is exact where that of many values is not.
    shift = sums / ops.maximum(counts, 1.0)
    return centroids + ops.reshape(shift, (rows, number))


def follow(values, centroids, counted=None):
    """New values and centroids after the weights behind them have moved.

    Each weight joins the nearest centroid, and each centroid goes to the mean of its
    weights; values that do not count become zero.
    """
    index = nearest(values, centroids)
    centroids = recentre(values, index, centroids, counted)
    shared = look_up(index, centroids)
    if counted is not None:
        shared = ops.where(counted, shared, 0.0)
    return shared, centroids


def _sums(values, segments, number):
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


def _starts(rows, width):
    """Where each row of a flattened table of `width` columns begins."""
    if rows.shape[0] == 1:
        return 0
    return ops.convert_to_tensor(
        np.arange(rows.shape[0], dtype="int32")[:, None] * width
    )
