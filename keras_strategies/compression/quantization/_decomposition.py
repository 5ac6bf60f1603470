"""Decomposition of layers into the integer operations they consist of.

LiteRT has no separable convolution, average of tensors, or sum of three tensors:
the values between their parts are rounded as well, so each part needs a range.
"""

from collections.abc import Sequence
from typing import Any

import keras

from keras_strategies._internal.model_graph import Call, Graph, Tensor
from keras_strategies.compression.quantization import _roles

_LAYERS = keras.layers

# Arguments of SeparableConv that its depthwise part takes, and its pointwise part.
_DEPTHWISE = ("kernel_size", "strides", "padding", "data_format", "dilation_rate")
_DEPTHWISE += ("depth_multiplier", "depthwise_initializer", "depthwise_regularizer")
_DEPTHWISE += ("depthwise_constraint", "trainable", "dtype")
_POINTWISE = ("filters", "data_format", "activation", "use_bias", "bias_initializer")
_POINTWISE += ("bias_regularizer", "bias_constraint", "trainable", "dtype")
_MERGES = (_LAYERS.Add, _LAYERS.Maximum, _LAYERS.Minimum, _LAYERS.Multiply)
_SEPARABLE_ROLES = (_roles.WEIGHT_QUANTIZED, _roles.WEIGHT_QUANTIZED)
_AVERAGE_ROLES = (_roles.OUTPUT, _roles.AFFINE)
_KERNEL = ("initializer", "regularizer", "constraint")


def decompose(graph: Graph, roles: dict[Call, str]) -> None:
    """Replaces SeparableConv, Average and sums of three or more, in place."""
    calls: list[Call] = []
    parts: dict[int, Sequence[Any]] = {}
    for call in graph.calls:
        layer = call.operation
        if roles[call] != _roles.SPLIT:
            calls += _pairwise(call, roles)
            continue
        is_separable = _is_separable(layer)
        if id(layer) not in parts:  # calls of a shared layer share its parts
            make = _separable_parts if is_separable else _average_parts
            parts[id(layer)] = make(layer)
        part_roles = _SEPARABLE_ROLES if is_separable else _AVERAGE_ROLES
        first, second = _in_sequence(call, parts[id(layer)], part_roles, roles)
        calls += [*_pairwise(first, roles), second]
    graph.calls = calls


def _in_sequence(call, layers, part_roles, roles):
    """Two calls in place of one, the second of what the first returns."""
    between = Tensor()
    first = Call(layers[0], call.path, call.args, call.kwargs, [between])
    second = Call(layers[1], call.path, (between,), {}, call.outputs)
    between.consumers = [second]
    _replace(call, first)
    roles[first], roles[second] = part_roles
    return [first, second]


def _pairwise(call, roles):
    """`a + b + c` as `(a + b) + c`: each sum needs its range."""
    layer, inputs = call.operation, call.inputs
    merges = isinstance(layer, _MERGES) and roles[call] == _roles.OUTPUT
    if not merges or len(inputs) < 3:
        return [call]
    calls, partial = [], inputs[0]
    for number, operand in enumerate(inputs[1:-1], start=1):
        part = type(layer)(name=f"{layer.name}_{number}")
        result = Tensor()
        calls.append(Call(part, call.path, ([partial, operand],), {}, [result]))
        roles[calls[-1]] = _roles.OUTPUT
        partial = result
    # The last one is the layer itself, so that its name and output stay.
    final = Call(layer, call.path, ([partial, inputs[-1]],), {}, call.outputs)
    roles[final] = _roles.OUTPUT
    calls.append(final)
    for tensor in inputs:
        tensor.consumers = [c for c in tensor.consumers if c is not call]
    for new in calls:
        for tensor in new.inputs:
            tensor.consumers.append(new)
    return calls


def _replace(call, new):
    for tensor in call.inputs:
        tensor.consumers = [new if c is call else c for c in tensor.consumers]


def _is_separable(layer):
    return isinstance(layer, _LAYERS.SeparableConv1D | _LAYERS.SeparableConv2D)


def _separable_parts(layer):
    config = layer.get_config()
    is_1d = isinstance(layer, _LAYERS.SeparableConv1D)
    depthwise = (_LAYERS.DepthwiseConv1D if is_1d else _LAYERS.DepthwiseConv2D)(
        use_bias=False,
        name=f"{layer.name}_depthwise",
        **{name: config[name] for name in _DEPTHWISE},
    )
    kernel = {f"kernel_{name}": config[f"pointwise_{name}"] for name in _KERNEL}
    pointwise = (_LAYERS.Conv1D if is_1d else _LAYERS.Conv2D)(
        kernel_size=1,
        name=layer.name,
        **{name: config[name] for name in _POINTWISE},
        **kernel,
    )
    # Built here, to give them the weights; the spatial sides do not matter for that.
    channels = layer.depthwise_kernel.shape[-2]
    shape = [None] * len(layer.depthwise_kernel.shape)
    shape[1 if layer.data_format == "channels_first" else -1] = channels
    depthwise.build(shape)
    pointwise.build(depthwise.compute_output_shape(shape))
    values = layer.get_weights()
    depthwise.set_weights(values[:1])
    pointwise.set_weights(values[1:])
    return depthwise, pointwise


def _average_parts(layer):
    # The mean as a sum times 1 / n: LiteRT has integer kernels for both.
    total = _LAYERS.Add(name=f"{layer.name}_sum")
    return total, _LAYERS.Rescaling(1.0 / len(layer.input), name=layer.name)
