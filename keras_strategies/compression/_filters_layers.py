"""How channels go through each kind of layer, as rules over `Analysis`.

A rule is `rule(analysis, call)`. It gives the outputs of the call their channels,
says which weights and configuration follow them, and returns `False` if this use
of the layer cannot be followed.
"""

import keras
import numpy as np
from keras import layers as kl

from keras_strategies.layers import StochasticDepth

# Functions that treat every channel by itself. Softmax and glu do not.
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
_OPS_ELEMENTWISE = (
    *("Relu", "Relu6", "Elu", "Selu", "Silu", "Gelu", "Tanh", "Sigmoid", "Softplus"),
    *("HardSigmoid", "HardSilu", "LeakyRelu", "Negative", "Absolute", "Square"),
)


def is_elementwise(activation):
    """Whether an activation works on every channel by itself."""
    if activation is None or isinstance(activation, _ELEMENTWISE):
        return True
    if isinstance(activation, kl.Activation):
        return is_elementwise(activation.activation)
    name = getattr(activation, "__name__", "")
    known = getattr(keras.activations, name, None)
    return known is activation and name in _ELEMENTWISE_FUNCTIONS


def channel_axis(layer, rank):
    """The channel axis of an input of `rank` axes, by `layer.data_format`."""
    first = getattr(layer, "data_format", "channels_last") == "channels_first"
    return 1 if first else rank - 1


def follow(analysis, call):
    """Applies the rule of the layer; `False` if there is none."""
    kind = type(call.operation)
    quantized = getattr(call.operation, "quantization_mode", None)
    if quantized or getattr(call.operation, "lora_enabled", False):
        return False
    if kind in _MERGES and len(call.inputs) > 1:
        return _merge(analysis, call)
    if not isinstance(call.operation, kl.Layer):
        return _operation(analysis, call)
    if kind is kl.Concatenate:
        return _concatenate(analysis, call)
    if kind in _RULES and len(call.inputs) == 1:
        return _RULES[kind](analysis, call)
    return False


def _same(analysis, call):
    return analysis.put(call, analysis.tensors.get(call.inputs[0]))


def _if_elementwise(analysis, call):
    return is_elementwise(call.operation.activation) and _same(analysis, call)


def _dropout(analysis, call):
    """A noise shape is fine if it is 1 along the channels, as to drop samples."""
    noise, channels = call.operation.noise_shape, analysis.tensors.get(call.inputs[0])
    if noise is not None and channels is not None:
        aligned = len(noise) == len(call.inputs[0].shape)
        if not aligned or noise[channels.axis] not in (None, 1):
            return False
    return _same(analysis, call)


def _rescaling(analysis, call):
    scalar = np.ndim(call.operation.scale) == 0 and np.ndim(call.operation.offset) == 0
    return scalar and _same(analysis, call)


def _spatial(analysis, call):
    rank = len(call.inputs[0].shape)
    axis = channel_axis(call.operation, rank)
    atoms = analysis.at(call, axis)
    if type(call.operation) in _GLOBAL and not call.operation.keepdims:
        axis = 1
    return analysis.put(call, axis, atoms)


def _conv(analysis, call):
    layer = call.operation
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
    layer = call.operation
    axis = channel_axis(layer, len(call.inputs[0].shape))
    atoms = analysis.at(call, axis)
    outputs = np.repeat(atoms, layer.depth_multiplier)
    if not is_elementwise(layer.activation):
        analysis.atoms.pin(outputs, "its activation mixes channels")
    analysis.slice(layer, call, atoms, kernel=-2)
    analysis.slice(layer, call, outputs, bias=0)
    return analysis.put(call, axis, outputs)


def _separable(analysis, call):
    layer = call.operation
    axis = channel_axis(layer, len(call.inputs[0].shape))
    atoms = analysis.at(call, axis)
    analysis.slice(layer, call, atoms, depthwise_kernel=-2)
    between = np.repeat(atoms, layer.depth_multiplier)
    analysis.slice(layer, call, between, pointwise_kernel=-2)
    made = analysis.units(call, layer.filters, "filters", "pointwise_kernel", -1)
    return analysis.put(call, axis, made)


def _batch_normalization(analysis, call):
    layer, number = call.operation, call.inputs[0]
    axis = layer.axis % len(number.shape)
    atoms = analysis.at(call, axis)
    if any(tuple(weight.shape) != (len(atoms),) for weight in layer.weights):
        return False
    analysis.slice_all(layer, call, atoms)
    return analysis.put(call, axis, atoms)


def _prelu(analysis, call):
    channels = analysis.tensors.get(call.inputs[0])
    if channels is not None:
        axis = channels.axis - 1
        if call.operation.alpha.shape[axis] != 1:
            analysis.slice(call.operation, call, channels.atoms, alpha=axis)
    return _same(analysis, call)


def _flatten(analysis, call):
    """Every channel becomes one feature of every place; channels go fastest."""
    layer, shape = call.operation, call.inputs[0].shape
    places = _places(shape, channel_axis(layer, len(shape)))
    if len(shape) < 2 or places is None:
        return False
    atoms = analysis.at(call, channel_axis(layer, len(shape)))
    return analysis.put(call, 1, np.tile(atoms, places))


def _places(shape, axis):
    """The product of the sides but batch and `axis`, `None` if one is unknown."""
    sides = [side for i, side in enumerate(shape) if i not in (0, axis)]
    return None if None in sides else int(np.prod(sides))


def _reshape(analysis, call):
    """Followed if the channels stay last, such as (C,) to (1, 1, C), or go flat."""
    shape, layer = call.inputs[0].shape, call.operation
    after = layer.compute_output_shape(shape)
    target, last = tuple(layer.target_shape), len(shape) - 1
    if analysis.tensors.get(call.inputs[0]) is None:
        return analysis.put(call, None)
    if len(after) > 1 and after[-1] == shape[-1]:
        atoms = analysis.at(call, last)
    elif len(after) == 2 and (places := _places(shape, last)) is not None:
        atoms = np.tile(analysis.at(call, last), places)
    else:
        return False
    if target[-1] != -1:
        if -1 not in target and None in shape[1:-1]:
            return False
        analysis.resize(layer, call, "target_shape", atoms, index=len(target) - 1)
    return analysis.put(call, len(after) - 1, atoms)


def _permute(analysis, call):
    channels = analysis.tensors.get(call.inputs[0])
    if channels is None:
        return analysis.put(call, None)
    axis = 1 + list(call.operation.dims).index(channels.axis)
    return analysis.put(call, axis, channels.atoms)


def _repeat_vector(analysis, call):
    return analysis.put(call, 2, analysis.at(call, 1))


def _concatenate(analysis, call):
    rank = len(call.inputs[0].shape)
    axis = call.operation.axis % rank
    tracked = [analysis.tensors.get(number) for number in call.inputs]
    tracked = [channels for channels in tracked if channels is not None]
    if not tracked:
        return analysis.put(call, None)
    if tracked[0].axis != axis:
        return _join(analysis, call, tracked[0].axis - rank, rank)
    parts = [analysis.at(call, axis, slot) for slot in range(len(call.inputs))]
    return analysis.put(call, axis, np.concatenate(parts))


def _merge(analysis, call):
    """Elementwise layers on several tensors. Short shapes get axes after the first."""
    ranks = [len(number.shape) for number in call.inputs]
    tracked = [
        (number.shape[channels.axis], channels.axis - rank)
        for number, rank in zip(call.inputs, ranks, strict=True)
        if (channels := analysis.tensors.get(number)) is not None
    ]
    if not tracked:
        return analysis.put(call, None)
    return _join(analysis, call, max(tracked)[1], max(ranks))


def _join(analysis, call, axis, rank):
    """Joins the channels of all inputs at `axis`, counted from the last."""
    sides = [_side(number.shape, axis) for number in call.inputs]
    width, atoms = max(sides), None
    for slot, side in enumerate(sides):
        if side == width:
            number = call.inputs[slot]
            found = analysis.at(call, len(number.shape) + axis, slot)
            atoms = found if atoms is None else atoms
            analysis.atoms.join(atoms, found)
        else:
            analysis.hold(call.inputs[slot], f"{call.path} broadcasts it")
    return analysis.put(call, rank + axis, atoms)


def _side(shape, axis):
    inside = len(shape) + axis > 0
    return (shape[axis] or 0) if inside else 1


def _operation(analysis, call):
    """Operations of `keras.ops` and operators on the tensors of the model."""
    kind = type(call.operation)
    if not kind.__module__.startswith("keras."):
        return False
    args = [*call.args, *call.kwargs.values()]
    numbers = [arg for arg in args if isinstance(arg, int | float)]
    if kind.__name__ in _OPS_ELEMENTWISE and len(call.inputs) == 1:
        return _same(analysis, call)
    if kind.__name__ not in _OPS_MERGES or len(args) != 2:
        return False
    if len(call.inputs) == 1 and len(numbers) == 1:
        return _same(analysis, call)
    ranks = {len(number.shape) for number in call.inputs}
    return len(call.inputs) == 2 and len(ranks) == 1 and _merge(analysis, call)


_RULES = {
    **dict.fromkeys([*_ELEMENTWISE, StochasticDepth], _same),
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
