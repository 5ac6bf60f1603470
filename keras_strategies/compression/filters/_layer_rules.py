"""Rules that follow channels through each kind of layer.

A rule is `rule(analysis, call)`. It sets the channels of the outputs of the call,
registers the weights and the configuration that depend on them, and returns `False`
if this use of the layer cannot be followed.
"""

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import layers as kl

from keras_strategies.compression.filters import _attention
from keras_strategies.compression.filters._channel_groups import Channels
from keras_strategies.layers import StochasticDepth

if TYPE_CHECKING:
    from keras_strategies._internal.model_graph import Call
    from keras_strategies.compression.filters._analysis import Analysis

# Functions that act on every channel separately. Softmax and glu do not.
_ELEMENTWISE_FUNCTIONS = (
    *("linear", "relu", "relu6", "elu", "selu"),
    *("silu", "swish", "gelu", "tanh", "sigmoid"),
    *("mish", "celu", "hard_sigmoid", "hard_silu", "hard_swish"),
    *("softplus", "softsign", "exponential", "leaky_relu", "log_sigmoid"),
    *("hard_tanh", "hard_shrink", "soft_shrink", "tanh_shrink", "threshold"),
    *("squareplus", "sparse_plus", "sparse_sigmoid"),
)
_ELEMENTWISE = (
    *(kl.ReLU, kl.LeakyReLU, kl.ELU, kl.Identity, kl.ActivityRegularization),
    *(kl.SpatialDropout1D, kl.SpatialDropout2D, kl.SpatialDropout3D),
    *(kl.GaussianNoise, kl.GaussianDropout, kl.AlphaDropout),
)
_MERGES = (
    *(kl.Add, kl.Multiply, kl.Subtract, kl.Average, kl.Maximum, kl.Minimum),
    StochasticDepth,
)
_SPATIAL = tuple(
    getattr(kl, f"{name}{rank}D")
    for name in (
        *("MaxPooling", "AveragePooling"),
        *("ZeroPadding", "Cropping", "UpSampling"),
    )
    for rank in (1, 2, 3)
)
_GLOBAL = tuple(
    getattr(kl, f"Global{name}Pooling{rank}D")
    for name in ("Max", "Average")
    for rank in (1, 2, 3)
)
_CONV = (kl.Conv1D, kl.Conv2D, kl.Conv3D)
_TRANSPOSED = (kl.Conv1DTranspose, kl.Conv2DTranspose, kl.Conv3DTranspose)
_DEPTHWISE = (kl.DepthwiseConv1D, kl.DepthwiseConv2D)
_SEPARABLE = (kl.SeparableConv1D, kl.SeparableConv2D)
# Operations such as `x + y` on the tensors of a functional model, by class name.
_OPS_MERGES = ("Add", "Subtract", "Multiply", "Maximum", "Minimum")
_OPS_REDUCTIONS = ("Mean", "Max", "Sum", "Min", "Amax", "Amin")
_OPS_ELEMENTWISE = (
    *("Relu", "Relu6", "Elu", "Selu", "Silu", "Gelu", "Tanh", "Sigmoid", "Softplus"),
    *("HardSigmoid", "HardSilu", "LeakyRelu", "Negative", "Absolute", "Square"),
)


def is_elementwise(activation: Any) -> bool:
    """Whether an activation acts on every channel separately."""
    if activation is None or isinstance(activation, _ELEMENTWISE):
        return True
    if isinstance(activation, kl.Activation):
        return is_elementwise(activation.activation)
    name = getattr(activation, "__name__", "")
    # By identity: a function of the user's may be called `relu` too.
    of_keras = getattr(keras.activations, name, None)
    return of_keras is activation and name in _ELEMENTWISE_FUNCTIONS


def channel_axis(layer: Any, rank: int) -> int:
    """The channel axis of an input of `rank` axes, by `layer.data_format`."""
    data_format = getattr(layer, "data_format", "channels_last")
    return 1 if data_format == "channels_first" else rank - 1


def follow(analysis: "Analysis", call: "Call") -> bool:
    """Applies the rule of the layer; `False` if there is none.

    Rules are found by the exact class: a subclass may compute something else.
    """
    kind = type(call.operation)
    # Their kernels are not plain variables that could be cut.
    quantized = getattr(call.operation, "quantization_mode", None)
    if quantized or getattr(call.operation, "lora_enabled", False):
        return False
    if kind in _MERGES and len(call.inputs) > 1:
        return _merge(analysis, call)
    if not isinstance(call.operation, kl.Layer):
        return _operation(analysis, call)
    if kind is kl.Concatenate:
        return _concatenate(analysis, call)
    if kind is kl.MultiHeadAttention:
        return _attention.follow_attention(analysis, call)
    if kind in _RULES and len(call.inputs) == 1:
        return _RULES[kind](analysis, call)
    return False


def _passthrough(analysis, call):
    """Outputs have the channels of the input."""
    return analysis.set_output_channels(call, analysis.channels.get(call.inputs[0]))


def _if_elementwise(analysis, call):
    return is_elementwise(call.operation.activation) and _passthrough(analysis, call)


def _dropout(analysis, call):
    """Followed if the noise shape is 1 along the channels, as to drop samples."""
    noise, channels = call.operation.noise_shape, analysis.channels.get(call.inputs[0])
    if noise is not None and channels is not None:
        is_aligned = len(noise) == len(call.inputs[0].shape)
        if not is_aligned or noise[channels.axis] not in (None, 1):
            return False
    return _passthrough(analysis, call)


def _rescaling(analysis, call):
    layer = call.operation
    is_scalar = np.ndim(layer.scale) == 0 and np.ndim(layer.offset) == 0
    return is_scalar and _passthrough(analysis, call)


def _spatial(analysis, call):
    rank = len(call.inputs[0].shape)
    axis = channel_axis(call.operation, rank)
    ids = analysis.input_channels(call, axis)
    # Without the spatial axes the channels are the only ones left.
    if type(call.operation) in _GLOBAL and not call.operation.keepdims:
        axis = 1
    return analysis.set_output_channels(call, Channels(axis, ids))


def _conv(analysis, call):
    layer = call.operation
    # Grouped convolutions see a part of the channels each.
    if layer.groups != 1:
        return False
    axis = channel_axis(layer, len(call.inputs[0].shape))
    return analysis.produce(call, axis, layer.filters, "filters", kernel=(-2, -1))


def _transposed(analysis, call):
    layer = call.operation
    axis = channel_axis(layer, len(call.inputs[0].shape))
    return analysis.produce(call, axis, layer.filters, "filters", kernel=(-1, -2))


def _dense(analysis, call):
    axis = len(call.inputs[0].shape) - 1
    return analysis.produce(call, axis, call.operation.units, "units", kernel=(-2, -1))


def _depthwise(analysis, call):
    """Channel `i` makes the output channels from `i * depth_multiplier` on."""
    layer = call.operation
    axis = channel_axis(layer, len(call.inputs[0].shape))
    ids = analysis.input_channels(call, axis)
    outputs = np.repeat(ids, layer.depth_multiplier)
    if not is_elementwise(layer.activation):
        analysis.groups.freeze(outputs, "its activation mixes channels")
    analysis.slice_weights(layer, call, ids, kernel=-2)
    analysis.slice_weights(layer, call, outputs, bias=0)
    return analysis.set_output_channels(call, Channels(axis, outputs))


def _separable(analysis, call):
    layer = call.operation
    axis = channel_axis(layer, len(call.inputs[0].shape))
    ids = analysis.input_channels(call, axis)
    analysis.slice_weights(layer, call, ids, depthwise_kernel=-2)
    # The pointwise kernel takes `depth_multiplier` channels for each input channel.
    intermediate = np.repeat(ids, layer.depth_multiplier)
    analysis.slice_weights(layer, call, intermediate, pointwise_kernel=-2)
    units = analysis.units(call, layer.filters, "filters", "pointwise_kernel", -1)
    return analysis.set_output_channels(call, Channels(axis, units))


def _batch_normalization(analysis, call):
    layer, tensor = call.operation, call.inputs[0]
    # Its axis is the channel axis in almost every model; `input_channels` checks.
    axis = layer.axis % len(tensor.shape)
    ids = analysis.input_channels(call, axis)
    if any(tuple(weight.shape) != (len(ids),) for weight in layer.weights):
        return False
    analysis.slice_all_weights(layer, call, ids)
    return analysis.set_output_channels(call, Channels(axis, ids))


def _prelu(analysis, call):
    channels = analysis.channels.get(call.inputs[0])
    if channels is not None:
        axis = channels.axis - 1  # `alpha` has no batch axis
        is_shared = call.operation.alpha.shape[axis] == 1
        if not is_shared:
            analysis.slice_weights(call.operation, call, channels.ids, alpha=axis)
    return _passthrough(analysis, call)


def _flatten(analysis, call):
    """Every channel becomes one feature per position; channels vary fastest."""
    layer, shape = call.operation, call.inputs[0].shape
    positions = _num_positions(shape, channel_axis(layer, len(shape)))
    if len(shape) < 2 or positions is None:
        return False
    # Feature `p * C + c` is channel `c` at position `p`. Keras moves the channels last
    # before it flattens, so that this holds for `channels_first` too.
    ids = analysis.input_channels(call, channel_axis(layer, len(shape)))
    return analysis.set_output_channels(call, Channels(1, np.tile(ids, positions)))


def _num_positions(shape, axis):
    """The product of the sides but batch and `axis`, `None` if one is unknown."""
    sides = [side for i, side in enumerate(shape) if i not in (0, axis)]
    return None if None in sides else int(np.prod(sides))


def _reshape(analysis, call):
    """Followed if the channels stay last, such as (C,) to (1, 1, C), or go flat."""
    shape, layer = call.inputs[0].shape, call.operation
    after = layer.compute_output_shape(shape)
    target, last = tuple(layer.target_shape), len(shape) - 1
    if analysis.channels.get(call.inputs[0]) is None:
        return analysis.set_output_channels(call, None)
    if len(after) > 1 and after[-1] == shape[-1]:
        ids = analysis.input_channels(call, last)
    elif len(after) == 2 and (positions := _num_positions(shape, last)) is not None:
        ids = np.tile(analysis.input_channels(call, last), positions)
    else:
        return False
    # A -1 adapts by itself to fewer channels, a number has to be recounted.
    if target[-1] != -1:
        if -1 not in target and None in shape[1:-1]:
            return False
        analysis.recount(layer, call, "target_shape", ids, index=len(target) - 1)
    return analysis.set_output_channels(call, Channels(len(after) - 1, ids))


def _permute(analysis, call):
    channels = analysis.channels.get(call.inputs[0])
    if channels is None:
        return analysis.set_output_channels(call, None)
    axis = 1 + list(call.operation.dims).index(channels.axis)
    return analysis.set_output_channels(call, Channels(axis, channels.ids))


def _repeat_vector(analysis, call):
    ids = analysis.input_channels(call, 1)
    return analysis.set_output_channels(call, Channels(2, ids))


def _concatenate(analysis, call):
    """Along the channels their ids are concatenated, along another axis joined."""
    rank = len(call.inputs[0].shape)
    axis = call.operation.axis % rank
    followed = [analysis.channels.get(tensor) for tensor in call.inputs]
    followed = [channels for channels in followed if channels is not None]
    if not followed:
        return analysis.set_output_channels(call, None)
    if followed[0].axis != axis:
        return _join_inputs(analysis, call, followed[0].axis - rank, rank)
    slots = range(len(call.inputs))
    parts = [analysis.input_channels(call, axis, slot) for slot in slots]
    return analysis.set_output_channels(call, Channels(axis, np.concatenate(parts)))


def _merge(analysis, call):
    """Elementwise layers on several tensors. Short shapes get axes after the first."""
    ranks = [len(tensor.shape) for tensor in call.inputs]
    # (width, axis counted from the last) of the inputs whose channels are followed.
    followed = [
        (tensor.shape[channels.axis], channels.axis - rank)
        for tensor, rank in zip(call.inputs, ranks, strict=True)
        if (channels := analysis.channels.get(tensor)) is not None
    ]
    if not followed:
        return analysis.set_output_channels(call, None)
    # The widest one decides: the others are broadcast to it.
    return _join_inputs(analysis, call, max(followed)[1], max(ranks))


def _join_inputs(analysis, call, axis, rank):
    """Joins the channels of all inputs at `axis`, counted from the last."""
    sides = [_side(tensor.shape, axis) for tensor in call.inputs]
    width, joined = max(sides), None
    for slot, side in enumerate(sides):
        # Narrower inputs are broadcast: they have one value for all channels.
        if side == width:
            tensor = call.inputs[slot]
            ids = analysis.input_channels(call, len(tensor.shape) + axis, slot)
            joined = ids if joined is None else joined
            analysis.groups.join(joined, ids)
        else:
            analysis.keep_all(call.inputs[slot], f"{call.path} broadcasts it")
    return analysis.set_output_channels(call, Channels(rank + axis, joined))


def _reduction(analysis, call):
    """`ops.mean` and the like over other axes than that of the channels."""
    channels = analysis.channels.get(call.inputs[0])
    if channels is None:
        return analysis.set_output_channels(call, None)
    rank, given = len(call.inputs[0].shape), call.operation.axis
    given = range(rank) if given is None else given
    axes = {axis % rank for axis in (given if np.iterable(given) else [given])}
    if channels.axis in axes or 0 in axes:
        return False
    axis = channels.axis
    if not call.operation.keepdims:
        axis -= sum(other < axis for other in axes)
    return analysis.set_output_channels(call, Channels(axis, channels.ids))


def _side(shape, axis):
    """A side of a shape; 1 if the axis is the batch axis or there is none."""
    has_axis = len(shape) + axis > 0
    return (shape[axis] or 0) if has_axis else 1


def _operation(analysis, call):
    """Operations of `keras.ops` and operators on the tensors of the model."""
    kind = type(call.operation)
    # Operations of the user's may have the name of one of Keras.
    if not kind.__module__.startswith("keras."):
        return False
    if kind.__name__ in _OPS_REDUCTIONS and len(call.inputs) == 1:
        return _reduction(analysis, call)
    args = [*call.args, *call.kwargs.values()]
    numbers = [arg for arg in args if isinstance(arg, int | float)]
    if kind.__name__ in _OPS_ELEMENTWISE and len(call.inputs) == 1:
        return _passthrough(analysis, call)
    if kind.__name__ not in _OPS_MERGES or len(args) != 2:
        return False
    # `x * 2.0` acts on each channel, while an array of constants may have one value
    # for each, which would have to be cut.
    if len(call.inputs) == 1 and len(numbers) == 1:
        return _passthrough(analysis, call)
    ranks = {len(tensor.shape) for tensor in call.inputs}
    return len(call.inputs) == 2 and len(ranks) == 1 and _merge(analysis, call)


_RULES = {
    **dict.fromkeys([*_ELEMENTWISE, StochasticDepth], _passthrough),
    **dict.fromkeys([*_SPATIAL, *_GLOBAL], _spatial),
    **dict.fromkeys(_CONV, _conv),
    **dict.fromkeys(_TRANSPOSED, _transposed),
    **dict.fromkeys(_DEPTHWISE, _depthwise),
    **dict.fromkeys(_SEPARABLE, _separable),
    kl.Activation: _if_elementwise,
    kl.BatchNormalization: _batch_normalization,
    kl.Dense: _dense,
    kl.Dropout: _dropout,
    kl.Flatten: _flatten,
    kl.PReLU: _prelu,
    kl.Permute: _permute,
    kl.RepeatVector: _repeat_vector,
    kl.Rescaling: _rescaling,
    kl.Reshape: _reshape,
}
