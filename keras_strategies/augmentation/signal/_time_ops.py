"""Changes of the time axis as pure functions of random numbers."""

import functools
from typing import Any

import keras
import numpy as np

from keras_strategies._internal.types import Tensor


def interpolate(x: Tensor, positions: Tensor, ops: Any = keras.ops) -> Tensor:
    """Returns `x` `(batch, time, channels)` between its steps, by straight lines.

    Args:
        x: The signals.
        positions: Steps `(batch, n)`, from 0 to `time - 1`; outside the ends.
        ops: Namespace of operations.
    """
    _, steps, _ = ops.shape(x)
    last = ops.cast(steps, "float32") - 1.0
    positions = ops.minimum(ops.maximum(positions, 0.0), last)
    lower = ops.floor(positions)
    weight = ops.cast(ops.expand_dims(positions - lower, -1), x.dtype)
    upper = ops.minimum(lower + 1.0, last)
    before, after = (take_steps(x, ops.cast(i, "int32"), ops) for i in (lower, upper))
    return (1.0 - weight) * before + weight * after


def take_steps(x: Tensor, indices: Tensor, ops: Any = keras.ops) -> Tensor:
    """Returns the steps `indices` `(batch, n)` of each signal."""
    batch, steps, channels = ops.shape(x)
    starts = ops.arange(batch, dtype="int32")[:, None] * steps
    # One gather from all signals in a row.
    return ops.take(ops.reshape(x, (-1, channels)), starts + indices, axis=0)


def times(steps: Any, ops: Any = keras.ops) -> Tensor:
    """Returns the numbers of the steps, float32 `(1, steps)`."""
    return ops.reshape(ops.arange(steps, dtype="float32"), (1, -1))


@functools.cache
def _second_derivatives(knots: int) -> np.ndarray:
    """Returns the matrix from values at knots 0, 1, ... to a natural spline's y''."""
    matrix, right = np.eye(knots), np.zeros((knots, knots))
    for i in range(1, knots - 1):
        matrix[i, i - 1 : i + 2] = 1, 4, 1
        right[i, i - 1 : i + 2] = 6, -12, 6
    return np.linalg.solve(matrix, right).astype("float32")


def curve(values: Tensor, steps: Any, ops: Any = keras.ops) -> Tensor:
    """Returns smooth curves `(batch, steps)` through `values` `(batch, knots)`.

    The natural cubic spline with knots at even distances from the first step to the
    last one:

    ```
    s(u) = sum_j a_j y_j + (a_j^3 - a_j) / 6 y''_j,    a_j = max(0, 1 - |u - j|)
    ```
    """
    knots = values.shape[1]
    last = ops.maximum(ops.cast(steps, "float32") - 1.0, 1.0)
    u = ops.reshape(times(steps, ops), (-1, 1)) * ((knots - 1) / last)
    hat = ops.maximum(0.0, 1.0 - ops.abs(u - ops.arange(knots, dtype="float32")))
    bend = ops.matmul((hat * hat * hat - hat) / 6.0, _second_derivatives(knots))
    return ops.matmul(values, ops.transpose(hat + bend))


def warped_times(speeds: Tensor, ops: Any = keras.ops) -> Tensor:
    """Returns increasing positions from the first step to the last one.

    Args:
        speeds: Tensor `(batch, time)`, relative; at least a tenth is used.
        ops: Namespace of operations.
    """
    passed = ops.cumsum(ops.maximum(speeds, 0.1), axis=1)
    passed = passed - passed[:, :1]
    last = ops.cast(ops.shape(speeds)[1], "float32") - 1.0
    return passed * (last / ops.maximum(passed[:, -1:], 1e-6))


def bent_times(
    uniform: Tensor, steps: Any, distance: int, ops: Any = keras.ops
) -> Tensor:
    """Returns the positions of SpecAugment's time warp.

    A step at least `distance` from the ends is moved by up to `distance`; what is
    before and after it is stretched or compressed.

    Args:
        uniform: Tensor `(batch, 2)`: which step, and how far.
        steps: Length of the signals.
        distance: Largest shift.
        ops: Namespace of operations.
    """
    last = ops.cast(steps, "float32") - 1.0
    reach = ops.minimum(float(distance), ops.floor(last / 2.0))
    source = reach + uniform[:, :1] * (last - 2.0 * reach)
    # Not to an end, where a part would have no length.
    target = source + (2.0 * uniform[:, 1:2] - 1.0) * reach * 0.999
    t = times(steps, ops)
    before = t * source / ops.maximum(target, 1e-6)
    rest = ops.maximum(last - target, 1e-6)
    after = source + (t - target) * (last - source) / rest
    return ops.where(t <= target, before, after)


def bands(
    uniform: Tensor, length: Any, largest: Any, count: int, ops: Any = keras.ops
) -> Tensor:
    """Returns the union of `count` intervals of an axis, booleans `(batch, length)`.

    Args:
        uniform: Tensor `(batch, 2 count)`: size and start of each.
        length: Length of the axis.
        largest: Largest size, in steps.
        count: Number of intervals.
        ops: Namespace of operations.
    """
    steps = times(length, ops)
    length = ops.cast(length, "float32")
    largest = ops.minimum(ops.cast(largest, "float32"), length)
    covered = steps < 0.0
    for i in range(count):
        size = ops.floor(uniform[:, 2 * i : 2 * i + 1] * (largest + 1.0))
        start = uniform[:, 2 * i + 1 : 2 * i + 2] * (length - size + 1.0)
        start = ops.floor(start)
        inside = ops.logical_and(steps >= start, steps < start + size)
        covered = ops.logical_or(covered, inside)
    return covered
