"""Reductions over the valid positions of a masked input.

A mask `(batch, ...)` has the axes of the input without the channels, or the first of
them. Padding a sequence further must never change what its valid positions give.
"""

from collections.abc import Sequence
from typing import NoReturn

import keras
from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.types import Tensor
from keras_strategies._internal.weights.kernel_axes import as_float32


def along_positions(mask: Tensor | None, rank: int, axis: int) -> Tensor | None:
    """Returns a boolean mask that broadcasts against the input; `None` stays `None`.

    Args:
        mask: Which positions are valid.
        rank: Rank of the input.
        axis: Non-negative axis of the channels, which a mask has not.
    """
    if mask is None:
        return None
    mask = ops.cast(mask, "bool")
    while len(mask.shape) < rank - 1:
        mask = ops.expand_dims(mask, -1)
    return ops.expand_dims(mask, axis)


def zero_masked(x: Tensor, valid: Tensor | None) -> Tensor:
    """Returns `x` with zeros at masked positions, whatever is there."""
    return x if valid is None else ops.where(valid, x, ops.zeros_like(x))


def mean(
    x: Tensor, axes: Sequence[int], valid: Tensor | None, keepdims: bool = False
) -> Tensor:
    """Returns the mean over the valid positions; 0 where there is none."""
    axes = tuple(axes)
    if valid is None:
        return ops.mean(x, axis=axes, keepdims=keepdims)
    # Sums and counts leave the range of half precision.
    precise = as_float32(x)
    total = ops.sum(zero_masked(precise, valid), axis=axes, keepdims=keepdims)
    # Broadcast: the mask may have size 1 along an axis that is reduced.
    counted = zero_masked(ops.ones_like(precise), valid)
    count = ops.sum(counted, axis=axes, keepdims=keepdims)
    return ops.cast(total / ops.maximum(count, 1), x.dtype)


def maximum(x: Tensor, axes: Sequence[int], valid: Tensor | None) -> Tensor:
    """Returns the maximum over the valid positions; 0 where there is none."""
    axes = tuple(axes)
    if valid is None:
        return ops.max(x, axis=axes)
    lowest = ops.max(ops.where(valid, x, ops.full_like(x, _lowest(x.dtype))), axis=axes)
    is_any = ops.any(ops.broadcast_to(valid, ops.shape(x)), axis=axes)
    return ops.where(is_any, lowest, ops.zeros_like(lowest))


def _lowest(dtype: str) -> float:
    """Returns a number below all others that the dtype can represent."""
    is_half = keras.backend.standardize_dtype(dtype) == "float16"
    return -65504.0 if is_half else -3e38


def refuse(layer: keras.layers.Layer, reason: str) -> NoReturn:
    """Refuses a mask that the layer could only ignore."""
    checks.fail(
        f"The input of {type(layer).__name__} must not be masked: {reason}",
        layer=layer.name,
        fix="Crop the padding, or use GlobalAveragePooling or AttentionPooling, which "
        "know masks.",
    )
