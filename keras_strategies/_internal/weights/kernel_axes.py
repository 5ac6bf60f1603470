"""Axes of units and filters in kernels, norms along them, kernels as matrices."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.types import Tensor


def checked_axis(axis: Any, optional: bool = False) -> Any:
    """Checks an axis or a tuple of different axes; with `optional` also `None`."""
    if axis is None and optional:
        return None
    if not isinstance(axis, list | tuple):
        return checks.integer("axis", axis, fix="Give an axis or a tuple of axes.")
    if not axis or len(set(axis)) != len(axis):
        checks.fail("`axis` must name each axis once, and at least one", axis=axis)
    return tuple(checks.integer("axis", a) for a in axis)


def positive_axes(axis: int | tuple[int, ...], shape: Sequence[int]) -> tuple[int, ...]:
    """The axes as a sorted tuple of numbers from 0, checked against a shape."""
    rank = len(shape)
    axes = axis if isinstance(axis, tuple) else (axis,)
    inside = all(-rank <= a < rank for a in axes)
    positive = tuple(sorted({a % rank for a in axes})) if inside else ()
    if len(positive) != len(axes):
        checks.fail(
            "`axis` must name different axes of the weight",
            axis=axis,
            shape=tuple(shape),
            fix=f"This weight has the axes {-rank} to {rank - 1}.",
        )
    return positive


def as_float32(x: Tensor) -> Tensor:
    """`x` in float32 at least: squares of small float16 weights would vanish."""
    return ops.cast(x, keras.backend.result_type(x.dtype, "float32"))


def safe_root(squares: Tensor) -> Tensor:
    """Square root whose slope at 0 is 0 and not infinite."""
    positive = squares > 0
    # The inner `where` keeps the infinite slope of sqrt at 0 out of the gradient.
    return ops.where(positive, ops.sqrt(ops.where(positive, squares, 1.0)), 0.0)


def absolute(x: Tensor) -> Tensor:
    """`|x|` with the slope 0 at 0 on every backend; JAX's own is 1 there."""
    return x * ops.stop_gradient(ops.sign(x))


def group_norms(x: Tensor, axes: tuple[int, ...]) -> tuple[Tensor, int]:
    """The Euclidean norm of each group and the number of weights in one."""
    within = tuple(a for a in range(len(x.shape)) if a not in axes)
    squares = ops.sum(ops.square(x), axis=within) if within else ops.square(x)
    shape = ops.shape(x)
    return safe_root(squares), math.prod(shape[a] for a in within)


def magnitudes(x: Tensor, axis: int | tuple[int, ...] | None) -> Tensor:
    """`|x|` of every weight for `axis=None`, else the norms of the groups."""
    if axis is None:
        return absolute(x)
    return group_norms(x, positive_axes(axis, x.shape))[0]


def to_matrix(x: Tensor, axis: int | tuple[int, ...]) -> Tensor:
    """`x` as a matrix with one column for each group that `axis` numbers."""
    axes = positive_axes(axis, x.shape)
    within = tuple(a for a in range(len(x.shape)) if a not in axes)
    columns = math.prod(x.shape[a] for a in axes)
    if within + axes != tuple(range(len(x.shape))):
        x = ops.transpose(x, within + axes)
    return ops.reshape(x, (-1, columns))


def from_matrix(
    matrix: Tensor, shape: Sequence[int], axis: int | tuple[int, ...]
) -> Tensor:
    """Undoes `to_matrix` for a weight of `shape`."""
    axes = positive_axes(axis, shape)
    order = tuple(a for a in range(len(shape)) if a not in axes) + axes
    x = ops.reshape(matrix, [shape[a] for a in order])
    if order == tuple(range(len(shape))):
        return x
    return ops.transpose(x, [order.index(a) for a in range(len(shape))])
