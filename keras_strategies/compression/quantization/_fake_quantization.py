"""Fake quantization: the mathematics, with straight-through gradients."""

import keras
from keras import ops

# A channel whose weights are all tiny gets the scale of weights this much smaller
# than the tensor's largest. Below it, the bias of the channel would not fit into the
# 32 bit integers in which it is deployed.
_LEAST_SHARE = 2.0**-10


def batch_range(inputs):
    """`[min, max]` of one batch, widened to hold 0."""
    low = ops.minimum(ops.min(inputs), 0.0)
    high = ops.maximum(ops.max(inputs), 0.0)
    return ops.stop_gradient(ops.cast(ops.stack([low, high]), "float32"))


def is_set(limits):
    """Whether a range has seen a batch: `[0, 0]` is the state before the first."""
    return ops.any(ops.not_equal(limits, 0.0))


def next_range(limits, batch, momentum):
    """The moving average of `[min, max]`; the first batch counts fully.

    A batch with values that are not finite is left out.
    """
    average = limits * momentum + batch * (1.0 - momentum)
    following = ops.where(is_set(limits), average, batch)
    return ops.where(ops.all(ops.isfinite(batch)), following, limits)


def fake_quantize(inputs, limits, bits=8):
    """Rounds to the `2**bits` evenly spaced values of the range `limits`.

    The range is nudged so that 0 is one of the values. The gradient is 1 inside
    the nudged range and 0 outside. float32.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # The converter to .tflite knows this operation.
        limits = tf.stop_gradient(tf.convert_to_tensor(limits))
        return tf.quantization.fake_quant_with_min_max_vars(
            inputs, limits[0], limits[1], num_bits=bits
        )
    return _fake_quantize(inputs, limits, bits)


def _fake_quantize(inputs, limits, bits):
    limits = ops.stop_gradient(limits)
    low, high = limits[0], limits[1]
    steps = float(2**bits - 1)
    scale = (high - low) / steps
    inverse = ops.where(scale > 0, 1.0 / ops.where(scale > 0, scale, 1.0), 0.0)
    zero = ops.clip(ops.floor(-low * inverse + 0.5), 0.0, steps)
    inside = ops.clip(inputs, -zero * scale, (steps - zero) * scale)
    values = ops.floor(inside * inverse + 0.5) * scale
    return inside + ops.stop_gradient(values - inside)


def weight_limit(weights, channels=(), wanted=None):
    """The magnitude `m` of the symmetric ranges `[-m, m]`, broadcast to `weights`.

    Args:
        weights: A kernel.
        channels: Axes that have a range for each index; `()` for a single range.
        wanted: Limits, no less than the weights, or `None` for the largest weights.
    """
    rank = len(weights.shape)
    kept = {axis % rank for axis in channels}
    axes = [axis for axis in range(rank) if axis not in kept]
    each = ops.max(ops.abs(weights), axis=axes, keepdims=True)
    if wanted is not None:
        each = ops.ones_like(each) * wanted
    largest = ops.max(each)
    largest = ops.where(largest > 0, largest, 1.0)
    return ops.stop_gradient(ops.maximum(each, largest * _LEAST_SHARE))


def largest_level(bits):
    """The largest integer of symmetric weights: 127 for 8 bits, 1 for 2."""
    return 2 ** (bits - 1) - 1


def fake_quantize_weights(weights, channels=(), bits=8, limit=None):
    """Rounds weights to `2**bits - 1` values, symmetric about 0, with gradient 1.

    The ranges are those of the weights at hand, so nothing is cut off, unless
    `limit` gives them, as `weight_limit` does. Zeros stay.
    """
    limit = weight_limit(weights, channels) if limit is None else limit
    scale = limit / largest_level(bits)
    values = ops.floor(weights / scale + 0.5) * scale
    return weights + ops.stop_gradient(values - weights)


def deployed_weights(weights, channels=(), bits=8, limit=None):
    """`fake_quantize_weights` in the form that the converter to .tflite knows.

    The file has int8 for any number of bits: the values of fewer bits are a subset
    of int8's, as a multiple of the larger scale is the smaller one.
    """
    if keras.backend.backend() != "tensorflow":
        return fake_quantize_weights(weights, channels, bits, limit)
    limit = weight_limit(weights, channels) if limit is None else limit
    if bits < 8:
        weights = fake_quantize_weights(weights, channels, bits, limit)
        levels = largest_level(bits)
        limit = limit * (127 / (levels * (127 // levels)))
    return _converter_form(weights, limit, channels)


def _converter_form(weights, limit, channels):
    import tensorflow as tf

    if not channels:
        limit = tf.reshape(limit, ())
        return tf.quantization.fake_quant_with_min_max_vars(
            weights, -limit, limit, narrow_range=True
        )
    # Only the last axis can have channels: (-2, -1) of a depthwise kernel are one.
    rank, shape = len(weights.shape), tuple(weights.shape)
    if any(axis % rank < rank - len(channels) for axis in channels):
        raise NotImplementedError(f"channels on the axes {channels}")
    flat = (*shape[: rank - len(channels)], -1)
    limit = tf.reshape(limit, (-1,))
    values = tf.quantization.fake_quant_with_min_max_vars_per_channel(
        tf.reshape(weights, flat) if len(channels) > 1 else weights,
        -limit,
        limit,
        narrow_range=True,
    )
    return tf.reshape(values, shape) if len(channels) > 1 else values
