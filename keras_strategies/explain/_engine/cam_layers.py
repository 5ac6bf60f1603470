"""Layers whose feature maps a class activation map is made of."""

import dataclasses
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.interception import intercepting
from keras_strategies._internal.model_graph import Call, call_targets, is_open, read
from keras_strategies._internal.select import (
    Selection,
    Selector,
    Target,
    layer_targets,
)
from keras_strategies.explain._engine.positions import channels_last

# Layers that make feature maps smaller, larger or rearrange them, without features of
# their own: the map before them is the sharper one.
_PLAIN = (
    keras.layers.MaxPooling1D,
    keras.layers.MaxPooling2D,
    keras.layers.MaxPooling3D,
    keras.layers.AveragePooling1D,
    keras.layers.AveragePooling2D,
    keras.layers.AveragePooling3D,
    keras.layers.UpSampling1D,
    keras.layers.UpSampling2D,
    keras.layers.UpSampling3D,
    keras.layers.ZeroPadding1D,
    keras.layers.ZeroPadding2D,
    keras.layers.ZeroPadding3D,
    keras.layers.Dropout,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
    keras.layers.Reshape,
    keras.layers.Permute,
    keras.layers.Identity,
)
_RANKS = {3: 1, 4: 2, 5: 3}  # of feature maps: number of spatial axes


@dataclasses.dataclass(frozen=True)
class CamLayer:
    """A layer that makes feature maps.

    Attributes:
        path: Its path in the model.
        layer: The layer or operation.
        channels_last: Whether the channels are on the last axis.
        sources: Positions of the inputs that it depends on; `None` where there is no
            graph to tell.
    """

    path: str
    layer: Any
    channels_last: bool
    sources: frozenset[int] | None


@dataclasses.dataclass(frozen=True)
class _Call:
    target: Target
    shape: tuple[int | None, ...]
    is_end: bool  # whether it makes an output of the model
    sources: frozenset[int] | None = None  # the inputs it depends on
    node: Call | None = None  # the call in the graph, if there is one


def cam_layer(
    model: keras.Model, example: Any, rank: int, layer: Selector | None
) -> CamLayer:
    """The layer for class activation maps: that which was named, or the last.

    Args:
        model: The model.
        example: One sample.
        rank: Rank of the input that the map is for.
        layer: What the user named, or `None`.
    """
    graph = read(model) if is_open(model) else None
    calls = _calls_of_run(model, example) if graph is None else _calls(graph)
    fitting = [call for call in calls if _fits(call, rank)]
    if layer is None:
        chosen = _last(model, graph, fitting, rank)
    else:
        chosen = _named(calls, fitting, layer, rank)
    data_format = getattr(chosen.target.item, "data_format", None)
    data_format = data_format or keras.config.image_data_format()
    is_last = rank == 3 or data_format == "channels_last"
    target = chosen.target
    return CamLayer(target.path, target.item, is_last, chosen.sources)


def _fits(call, rank):
    """Whether a call makes feature maps with more than one position."""
    if len(call.shape) != rank:
        return False
    spatial = call.shape[1:-1] if channels_last(rank) else call.shape[2:]
    return all(size is None or size > 1 for size in spatial)


def _last(model, graph, fitting, rank):
    convolutions = [call for call in fitting if _is_convolution(call.target.item)]
    if rank not in _RANKS or not convolutions:
        rule = "A class activation map needs a model with a convolution"
        _refuse(rule, model, fitting)
    begin = fitting.index(convolutions[0])
    candidates = [
        call
        for call in fitting[begin:]
        if not call.is_end and not isinstance(call.target.item, _PLAIN)
    ]
    if not candidates:  # one convolution, which makes the output
        rule = "A class activation map needs a convolution before the last layer"
        _refuse(rule, model, fitting)
    # The last that all paths go through: of parallel branches one alone would show a
    # part of what the model sees.
    for call in reversed(candidates):
        if graph is not None and _is_cut(graph, call):
            return call
    return candidates[-1]


def _is_cut(graph, call):
    """Whether every path from its inputs to the outputs goes through a call.

    The last call may be in one of several branches, and its map would miss what the
    others have seen.
    """
    reached = {graph.inputs[position] for position in call.sources}
    for other in graph.calls:
        passes = not other.is_entry and other is not call.node
        if passes and any(tensor in reached for tensor in other.inputs):
            reached.update(other.outputs)
    return not any(tensor in reached for tensor in graph.outputs)


def _refuse(rule, model, fitting):
    checks.fail(
        rule,
        fix="Name a layer that makes features at several positions by `layer`"
        + (", one of `layers`." if fitting else "; this model has none: use saliency."),
        model=model.name,
        layers=[call.target.path for call in fitting],
    )


def _is_convolution(operation):
    """By the name: `keras.layers` has no common public base, `keras.ops` no classes."""
    return "Conv" in type(operation).__name__


def _named(calls, fitting, layer, rank):
    targets = [call.target for call in calls]
    chosen = [c for c in calls if isinstance(layer, str) and c.target.path == layer]
    if not chosen:
        named = [
            c for c in calls if isinstance(layer, str) and c.target.item.name == layer
        ]
        chosen = named if len(named) == 1 else []
    if not chosen:
        selection = Selection(layer, names=("layer", "exclude"), inside=False)
        mask = selection.mask(targets)
        chosen = [call for call, is_in in zip(calls, mask, strict=True) if is_in]
    if len(chosen) != 1:
        checks.fail(
            "`layer` must select one layer that is called once",
            layer=layer,
            paths=[call.target.path for call in chosen],
        )
    if chosen[0] not in fitting:
        checks.fail(
            "`layer` must make feature maps of the input's rank with several positions",
            fix="These layers do: " + ", ".join(c.target.path for c in fitting) + ".",
            layer=chosen[0].target.path,
            shape=chosen[0].shape,
            rank=rank,
        )
    return chosen[0]


def _calls(graph):
    """Every call in the model with the shape of what it makes, in order."""
    targets, sources = call_targets(graph), _sources(graph)
    return [
        _Call(
            target,
            call.outputs[0].shape,
            _is_end(call),
            sources[call.outputs[0]],
            call,
        )
        for call, target in targets.items()
        if len(call.outputs) == 1
    ]


def _sources(graph):
    """The positions of the model's inputs that each tensor depends on."""
    found = {tensor: frozenset([i]) for i, tensor in enumerate(graph.inputs)}
    for call in graph.calls:
        if not call.is_entry:
            before = [found.get(tensor, frozenset()) for tensor in call.inputs]
            found |= dict.fromkeys(call.outputs, frozenset().union(*before))
    return found


def _is_end(call):
    """Whether a call makes an output, or what only an activation makes one of."""
    [tensor] = call.outputs
    return tensor.is_output or any(
        after.outputs[0].is_output
        and isinstance(after.operation, keras.layers.Activation | keras.layers.Softmax)
        for after in tensor.consumers
    )


def _calls_of_run(model, example):
    """Of a model without a graph: the layers that have no others in them."""
    targets, calls, kept = layer_targets(model), [], []

    def note(position, call, args, kwargs):
        before = len(calls)
        result = call(*args, **kwargs)
        # No call of another layer came in between: a leaf. Layers around leaves would
        # be the same maps once more, or no maps.
        if len(calls) == before and hasattr(result, "shape"):
            kept.append(result)
            calls.append(_Call(targets[position], tuple(result.shape), False))
        return result

    with intercepting([target.item for target in targets], note):
        outputs = keras.tree.flatten(model(example, training=False))
    ends = {id(output) for output in outputs}
    return [
        dataclasses.replace(call, is_end=id(value) in ends)
        for call, value in zip(calls, kept, strict=True)
    ]


def spatial_inputs(inputs: list[np.ndarray]) -> list[int]:
    """The positions of the inputs that a map could be for, all of one rank."""
    for rank in sorted(_RANKS, reverse=True):
        found = [i for i, array in enumerate(inputs) if array.ndim == rank]
        if found:
            return found
    return checks.fail(
        "A class activation map needs images, volumes or sequences of vectors",
        fix="Use saliency, integrated_gradients or kernel_shap for a table.",
        shapes=[array.shape for array in inputs],
    )
