"""Layers that are two layers once they are quantized."""

import keras

from keras_strategies._internal.model_graph import Call, Tensor
from keras_strategies.compression import _qat_roles

_LAYERS = keras.layers

# Arguments of SeparableConv that its depthwise part takes, and its pointwise part.
_DEPTHWISE = ("kernel_size", "strides", "padding", "data_format", "dilation_rate")
_DEPTHWISE += ("depth_multiplier", "depthwise_initializer", "depthwise_regularizer")
_DEPTHWISE += ("depthwise_constraint", "trainable", "dtype")
_POINTWISE = ("filters", "data_format", "activation", "use_bias", "bias_initializer")
_POINTWISE += ("bias_regularizer", "bias_constraint", "trainable", "dtype")
_MERGES = (_LAYERS.Add, _LAYERS.Maximum, _LAYERS.Minimum, _LAYERS.Multiply)
_WEIGHTED = (_qat_roles.WEIGHTED, _qat_roles.WEIGHTED)
_AVERAGED = (_qat_roles.OUTPUT, _qat_roles.AFFINE)
_KERNEL = ("initializer", "regularizer", "constraint")


def split(graph, roles):
    """Replaces them by their parts: SeparableConv, Average, sums of three or more."""
    calls, parts = [], {}
    for call in graph.calls:
        layer = call.operation
        if roles[call] == _qat_roles.SPLIT and id(layer) not in parts:
            parts[id(layer)] = _separable(layer) if _is_conv(layer) else _average(layer)
        if roles[call] == _qat_roles.SPLIT:
            kinds = _WEIGHTED if _is_conv(layer) else _AVERAGED
            new = _two(call, parts[id(layer)], kinds, roles)
        else:
            new = [call]
        calls += _pairwise(new[0], roles) + new[1:]
    graph.calls = calls


def _two(call, layers, kinds, roles):
    between = Tensor()
    first = Call(layers[0], call.path, call.args, call.kwargs, [between])
    second = Call(layers[1], call.path, (between,), {}, call.outputs)
    between.consumers = [second]
    _replace(call, first)
    roles[first], roles[second] = kinds
    return [first, second]


def _pairwise(call, roles):
    """`a + b + c` as `(a + b) + c`: each sum needs its range."""
    layer, inputs = call.operation, call.inputs
    merges = isinstance(layer, _MERGES) and roles[call] == _qat_roles.OUTPUT
    if not merges or len(inputs) < 3:
        return [call]
    calls, left = [], inputs[0]
    for number, right in enumerate(inputs[1:-1], start=1):
        part = type(layer)(name=f"{layer.name}_{number}")
        made = Tensor()
        calls.append(Call(part, call.path, ([left, right],), {}, [made]))
        roles[calls[-1]] = _qat_roles.OUTPUT
        left = made
    last = Call(layer, call.path, ([left, inputs[-1]],), {}, call.outputs)
    roles[last] = _qat_roles.OUTPUT
    calls.append(last)
    for slot in inputs:
        slot.consumers = [user for user in slot.consumers if user is not call]
    for new in calls:
        for slot in new.inputs:
            slot.consumers.append(new)
    return calls


def _replace(call, new):
    for slot in call.inputs:
        slot.consumers = [new if user is call else user for user in slot.consumers]


def _is_conv(layer):
    return isinstance(layer, _LAYERS.SeparableConv1D | _LAYERS.SeparableConv2D)


def _separable(layer):
    config = layer.get_config()
    flat = isinstance(layer, _LAYERS.SeparableConv1D)
    depthwise = (_LAYERS.DepthwiseConv1D if flat else _LAYERS.DepthwiseConv2D)(
        use_bias=False,
        name=f"{layer.name}_depthwise",
        **{name: config[name] for name in _DEPTHWISE},
    )
    kernel = {f"kernel_{name}": config[f"pointwise_{name}"] for name in _KERNEL}
    pointwise = (_LAYERS.Conv1D if flat else _LAYERS.Conv2D)(
        kernel_size=1,
        name=layer.name,
        **{name: config[name] for name in _POINTWISE},
        **kernel,
    )
    channels = layer.depthwise_kernel.shape[-2]
    shape = [None] * len(layer.depthwise_kernel.shape)
    shape[1 if layer.data_format == "channels_first" else -1] = channels
    depthwise.build(shape)
    pointwise.build(depthwise.compute_output_shape(shape))
    values = layer.get_weights()
    depthwise.set_weights(values[:1])
    pointwise.set_weights(values[1:])
    return depthwise, pointwise


def _average(layer):
    total = _LAYERS.Add(name=f"{layer.name}_sum")
    return total, _LAYERS.Rescaling(1.0 / len(layer.input), name=layer.name)
