"""Fake quantization with straight-through gradients, on `keras.ops`.

Values are rounded to those of integers, in float32. Rounding has the gradient 0
almost everywhere; here its gradient is that of the identity inside the range
(Bengio et al., 2013, https://arxiv.org/abs/1308.3432), written as
`x + stop_gradient(rounded - x)`.
"""

from collections.abc import Sequence
from typing import Any, NoReturn

import keras
from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import max_over_replicas

# The range of a channel is at least this fraction of that of the tensor. Below it,
# the bias of a channel with tiny weights would not fit into the 32 bit integers in
# which it is deployed: its scale is the product of the scales of inputs and weights.
_LEAST_RELATIVE_LIMIT = 2.0**-10


def refuse_quantize(name: str, *args: Any, **kwargs: Any) -> NoReturn:
    """Raises the error of `model.quantize` for a part of a quantization-aware model."""
    checks.fail(
        "A quantization-aware model must not be quantized again by Keras",
        fix="Export it, e.g. with `export.to_tflite(model, path)`, or give the float "
        "model to `model.quantize`.",
        layer=name,
    )


def batch_range(inputs: Any) -> Any:
    """`[min, max]` of one batch, widened to contain 0."""
    # A batch may be spread over replicas of tf.distribute.
    ends = ops.stack([-ops.min(inputs), ops.max(inputs)])
    ends = max_over_replicas(ops.stop_gradient(ops.cast(ends, "float32")))
    return ops.maximum(ends, 0.0) * ops.convert_to_tensor([-1.0, 1.0], "float32")


def is_set(limits: Any) -> Any:
    """Whether a range has seen a batch: `[0, 0]` is the state before the first."""
    return ops.any(ops.not_equal(limits, 0.0))


def next_range(limits: Any, batch: Any, momentum: float) -> Any:
    """The moving average of `[min, max]`; the first batch counts fully.

    A batch with values that are not finite is left out.
    """
    average = limits * momentum + batch * (1.0 - momentum)
    following = ops.where(is_set(limits), average, batch)
    return ops.where(ops.all(ops.isfinite(batch)), following, limits)


def fake_quantize(
    inputs: Any, limits: Any, bits: int = 8, narrow_range: bool = False
) -> Any:
    """Rounds to the `2**bits` evenly spaced values of the range `limits`.

    With `narrow_range` there is one value less, the lowest. The range is nudged so that
    0 is one of the values. The gradient is 1 inside the nudged range and 0 outside.
    float32.

    Reference: Jacob et al. (2018), section 3, https://arxiv.org/abs/1712.05877.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # The converter to .tflite recognises this operation and takes its range.
        limits = tf.stop_gradient(tf.convert_to_tensor(limits))
        return tf.quantization.fake_quant_with_min_max_vars(
            inputs, limits[0], limits[1], num_bits=bits, narrow_range=narrow_range
        )
    return _fake_quantize(inputs, limits, bits, narrow_range)


def _fake_quantize(inputs, limits, bits, narrow_range=False):
    """`fake_quant_with_min_max_vars` of TensorFlow, in the same arithmetic."""
    limits = ops.stop_gradient(limits)
    low, high = limits[0], limits[1]
    steps = float(2**bits - 1 - narrow_range)
    scale = (high - low) / steps
    inverse = ops.where(scale > 0, 1.0 / ops.where(scale > 0, scale, 1.0), 0.0)
    # The zero point is an integer: padding with zeros then adds no error.
    zero_point = ops.clip(ops.floor(-low * inverse + 0.5), 0.0, steps)
    clipped = ops.clip(inputs, -zero_point * scale, (steps - zero_point) * scale)
    rounded = ops.floor(clipped * inverse + 0.5) * scale
    return clipped + ops.stop_gradient(rounded - clipped)


def weight_limit(
    weights: Any, channels: Sequence[int] = (), shared_limit: Any = None
) -> Any:
    """The magnitude `m` of the symmetric ranges `[-m, m]`, broadcast to `weights`.

    Args:
        weights: A kernel.
        channels: Axes that have a range for each index; `()` for a single range.
        shared_limit: Limits, no less than the weights, or `None` for the largest
            weights.
    """
    rank = len(weights.shape)
    channel_axes = {axis % rank for axis in channels}
    axes = [axis for axis in range(rank) if axis not in channel_axes]
    limits = ops.max(ops.abs(weights), axis=axes, keepdims=True)
    if shared_limit is not None:
        limits = ops.ones_like(limits) * shared_limit
    largest = ops.max(limits)
    largest = ops.where(largest > 0, largest, 1.0)
    return ops.stop_gradient(ops.maximum(limits, largest * _LEAST_RELATIVE_LIMIT))


def largest_level(bits: int) -> int:
    """The largest integer of symmetric weights: 127 for 8 bits, 1 for 2."""
    return 2 ** (bits - 1) - 1


def fake_quantize_weights(
    weights: Any, channels: Sequence[int] = (), bits: int = 8, limit: Any = None
) -> Any:
    """Rounds weights to `2**bits - 1` values, symmetric about 0, with gradient 1.

    The ranges are those of the current weights, so that none is clipped, unless
    `limit` gives them, as `weight_limit` does. Zeros stay zeros.
    """
    limit = weight_limit(weights, channels) if limit is None else limit
    scale = limit / largest_level(bits)
    rounded = ops.floor(weights / scale + 0.5) * scale
    return weights + ops.stop_gradient(rounded - weights)


def deployed_weights(
    weights: Any, channels: Sequence[int] = (), bits: int = 8, limit: Any = None
) -> Any:
    """`fake_quantize_weights` in the form that the converter to .tflite recognises.

    The file has int8 for any number of bits: the values of fewer bits are a subset
    of int8's, as a multiple of the larger scale is the smaller one.
    """
    if keras.backend.backend() != "tensorflow":
        return fake_quantize_weights(weights, channels, bits, limit)
    limit = weight_limit(weights, channels) if limit is None else limit
    if bits < 8:
        weights = fake_quantize_weights(weights, channels, bits, limit)
        levels = largest_level(bits)
        # int8's scale becomes the coarse scale divided by an integer, so that every
        # coarse value is one of int8's.
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
