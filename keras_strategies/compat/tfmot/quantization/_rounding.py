"""TFMOT's fake quantization on `keras.ops`."""

import keras
from keras import ops


def batch_range(values, bits, shape, symmetric, narrow):
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


def fake_quantize(values, low, high, bits, narrow):
    """Rounds to the evenly spaced values of a range that is nudged to have 0.

    The gradient is 1 inside the range and 0 outside.
    """
    low, high = ops.stop_gradient(low), ops.stop_gradient(high)
    if keras.backend.backend() == "tensorflow":
        return _tensorflow(values, low, high, bits, narrow)
    first, last = float(narrow), float(2**bits - 1)
    scale = (high - low) / (last - first)
    inverse = ops.where(scale > 0, 1.0 / ops.where(scale > 0, scale, 1.0), 0.0)
    zero = ops.clip(ops.floor(first - low * inverse + 0.5), first, last)
    least, most = (first - zero) * scale, (last - zero) * scale
    inside = ops.clip(values, least, most)
    rounded = ops.floor((inside - least) * inverse + 0.5) * scale + least
    return inside + ops.stop_gradient(rounded - inside)


def _tensorflow(values, low, high, bits, narrow):
    """Operations that the converter to .tflite knows."""
    import tensorflow as tf

    options = {"num_bits": bits, "narrow_range": narrow}
    if not len(low.shape):
        return tf.quantization.fake_quant_with_min_max_vars(
            values, low, high, **options
        )
    flat = tf.reshape(values, (-1, values.shape[-1]))
    if len(values.shape) in (1, 2, 4):
        flat = values
    rounded = tf.quantization.fake_quant_with_min_max_vars_per_channel(
        flat, low, high, **options
    )
    return tf.reshape(rounded, tf.shape(values)) if flat is not values else rounded
