"""Rule that follows channels through MultiHeadAttention: whole heads are units."""

from typing import TYPE_CHECKING, Any

import numpy as np

from keras_strategies.compression.filters._channel_groups import Channels

if TYPE_CHECKING:
    from keras_strategies._internal.model_graph import Call
    from keras_strategies.compression.filters._analysis import Analysis

_INPUTS = ("query", "value", "key")


def follow_attention(analysis: "Analysis", call: "Call") -> bool:
    """Makes each head a unit; `False` for a call that cannot be followed.

    A head is a slice of the query, key and value kernels and of the output kernel; the
    output is a sum over heads. What comes in and goes out keeps its width unless the
    layers around it lose channels.
    """
    layer = call.operation
    taken = dict(zip(_INPUTS, call.args, strict=False))
    taken |= {name: v for name, v in call.kwargs.items() if name in _INPUTS}
    taken.setdefault("key", taken.get("value"))
    slots = {id(tensor): slot for slot, tensor in enumerate(call.inputs)}
    # With a mask as an input or with scores as an output there are other tensors.
    if len(call.outputs) != 1 or {id(t) for t in taken.values()} != set(slots):
        return False
    ids = {
        name: analysis.input_channels(call, len(tensor.shape) - 1, slots[id(tensor)])
        for name, tensor in taken.items()
    }
    plan = analysis.plan(layer, call)
    output = layer.output_dense
    if plan.units is None:
        plan.units = analysis.groups.new(layer.num_heads)
        plan.kernel = (output.kernel, 0)
        plan.round_to = 1
        analysis.recount(layer, call, "num_heads", plan.units)
        # A custom `output_shape` is a number in the configuration: it stays.
        has_own_width = layer.get_config().get("output_shape") is not None
        plan.width = analysis.groups.new(output.kernel.shape[-1])
        if has_own_width or len(output.kernel.shape) != 3:
            analysis.groups.freeze(plan.width, "its `output_shape` is fixed")
        else:
            analysis.groups.join(plan.width, ids["query"])
    for name in _INPUTS:
        dense = getattr(layer, f"{name}_dense")
        _cut(analysis, call, dense.kernel, {0: ids[name], 1: plan.units})
        _cut(analysis, call, dense.bias, {0: plan.units})
    _cut(analysis, call, output.kernel, {0: plan.units, -1: plan.width})
    _cut(analysis, call, output.bias, {-1: plan.width})
    rank = len(call.outputs[0].shape)
    return analysis.set_output_channels(call, Channels(rank - 1, plan.width))


def _cut(
    analysis: "Analysis", call: "Call", weight: Any, axes: dict[int, np.ndarray]
) -> None:
    for axis, ids in axes.items():
        if weight is not None:
            analysis.slice_weight(call, weight, axis % len(weight.shape), ids)
