"""TFMOT's fake quantization on `keras.ops`.

Unlike `compression.quantization`, ranges may be asymmetric, of each last index, and
narrow.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


def batch_range(
    values: Any, bits: int, shape: Sequence[int], symmetric: bool, narrow: bool
) -> tuple[Any, Any]:
    """`(low, high)` of a batch, with 0 inside; of each last index if `shape` has one.

    A symmetric range that is not narrow has one value more below 0 than above.
    """
    axes = list(range(len(values.shape) - len(shape)))
    low, high = ops.min(values, axis=axes), ops.max(values, axis=axes)
    if symmetric:
        ratio = -1.0 if narrow else -(2**bits - 2) / 2**bits
        low, high = (
            ops.minimum(low, high / ratio),
            ops.maximum(high, low * ratio),
        )
    else:
        low, high = ops.minimum(low, 0.0), ops.maximum(high, 0.0)
    return ops.stop_gradient(low), ops.stop_gradient(high)


def fake_quantize(values: Any, low: Any, high: Any, bits: int, narrow: bool) -> Any:
    """Rounds to the evenly spaced values of a range that is nudged to contain 0.

    The gradient is 1 inside the range and 0 outside.
    """
    low, high = ops.stop_gradient(low), ops.stop_gradient(high)
    if keras.backend.backend() == "tensorflow":
        return _tensorflow(values, low, high, bits, narrow)
    first, last = float(narrow), float(2**bits - 1)
    scale = (high - low) / (last - first)
    inverse = ops.where(scale > 0, 1.0 / ops.where(scale > 0, scale, 1.0), 0.0)
    # The zero point is an integer, so that 0 has no rounding error.
    zero_point = ops.clip(ops.floor(first - low * inverse + 0.5), first, last)
    nudged_low, nudged_high = (first - zero_point) * scale, (last - zero_point) * scale
    clipped = ops.clip(values, nudged_low, nudged_high)
    rounded = ops.floor((clipped - nudged_low) * inverse + 0.5) * scale + nudged_low
    return clipped + ops.stop_gradient(rounded - clipped)


def _tensorflow(values, low, high, bits, narrow):
    """Operations that the converter to .tflite recognises."""
    import tensorflow as tf

    options = {"num_bits": bits, "narrow_range": narrow}
    if not len(low.shape):
        return tf.quantization.fake_quant_with_min_max_vars(
            values, low, high, **options
        )
    # The operation takes tensors of rank 1, 2 and 4 only.
    flat = tf.reshape(values, (-1, values.shape[-1]))
    if len(values.shape) in (1, 2, 4):
        flat = values
    rounded = tf.quantization.fake_quant_with_min_max_vars_per_channel(
        flat, low, high, **options
    )
    return tf.reshape(rounded, tf.shape(values)) if flat is not values else rounded
