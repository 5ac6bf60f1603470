"""Depth of layers in the graph: how many layers with weights come behind one."""

import math
from collections.abc import Sequence
from typing import Any

import keras

from keras_strategies._internal.keras_private import (
    direct_layers,
    graph_nodes,
    own_variables_of_layer,
)
from keras_strategies._internal.traversal import all_layers

# Layer-wise decay counts blocks in the papers, of which a Transformer has 12: a factor
# for each of the 150 layers of a MobileNet would leave the first ones with nothing.
MOST_GROUPS = 12


def depths(model: keras.Model) -> dict[int, int]:
    """Returns, by `id`, how many layers with weights come between it and the output.

    The longest path counts, through nested models as well. The order of `model.layers`
    is no depth: branches stand in it one after another, and a nested model is one
    entry. Where there is no graph to read, as in a subclassed model or layer, all
    layers inside have the depth of their container.
    """
    found: dict[int, int] = {}
    _walk(model, 0, found)
    for layer in all_layers(model):  # inputs, and layers that the graph does not call
        found.setdefault(id(layer), 0)
    return found


def calls_of(model: Any) -> list[tuple[Any, list[Any]]] | None:
    """`[(operation, operations before it)]` of a model, or `None` without a graph.

    In an order in which they can run; inputs are no operations.
    """
    nodes = graph_nodes(model)
    if nodes is None:
        return None
    makers = {id(tensor): node[0] for node in nodes for tensor in node[3]}
    return [
        (
            operation,
            [
                makers[id(item)]
                for item in keras.tree.flatten((args, kwargs))
                if id(item) in makers
            ],
        )
        for operation, args, kwargs, _ in nodes
    ]


def _walk(layer, base, found):
    """Gives the layers in `layer` their depths; `base` is the depth of its output."""
    calls = calls_of(layer)
    if calls is None:
        for inner in direct_layers(layer):
            _put(inner, base, found)
            _walk(inner, base, found)
        return
    behind = _behind(calls)
    for operation, _ in calls:
        if isinstance(operation, keras.layers.Layer):
            depth = base + behind[id(operation)]
            _put(operation, depth, found)
            _walk(operation, depth, found)


def _put(layer, depth, found):
    found[id(layer)] = max(depth, found.get(id(layer), 0))


def _behind(calls):
    """The longest path from the output of each operation to the end."""
    behind = {id(operation): 0 for operation, _ in calls}
    # From the output back, in an order in which all consumers of an operation come
    # first.
    for operation, parents in reversed(calls):
        before = behind[id(operation)] + _length(operation)
        for parent in parents:
            behind[id(parent)] = max(behind.get(id(parent), 0), before)
    return behind


def _length(operation):
    """Layers with weights on the longest path through an operation."""
    if not isinstance(operation, keras.layers.Layer):
        return 0
    calls = calls_of(operation)
    if calls is None:
        return int(bool(operation.weights))
    behind = _behind(calls)
    return max(
        (behind[id(inner)] + _length(inner) for inner, _ in calls),
        default=0,
    )


def nearest_output(
    layers: Sequence[Any], fraction: float, depth: dict[int, int]
) -> list[Any]:
    """The `fraction` of `layers` that is nearest to the output, nearest first."""
    order = sorted(layers, key=lambda layer: depth[id(layer)])
    # 0.07 of 100 layers is 7, not the 8 that ceil(7.000000000000001) would give.
    return order[: math.ceil(fraction * len(order) - 1e-9)]


def groups(layers: Sequence[Any], depth: dict[int, int]) -> dict[int, int]:
    """Returns, by `id`, the group of each layer: 0 is nearest to the output.

    Layers of one depth are in one group; there are at most `MOST_GROUPS`, each with
    about as many depths.
    """
    levels = sorted({depth[id(layer)] for layer in layers})
    count = min(MOST_GROUPS, len(levels))
    of_level = {level: i * count // len(levels) for i, level in enumerate(levels)}
    return {id(layer): of_level[depth[id(layer)]] for layer in layers}


def stages(layers: Sequence[Any], count: int, depth: dict[int, int]) -> list[list[Any]]:
    """Cuts layers into `count` parts by depth, the part nearest to the output first."""
    order = sorted(layers, key=lambda layer: depth[id(layer)])
    cuts = [round(i * len(order) / count) for i in range(count + 1)]
    parts = [order[a:b] for a, b in zip(cuts, cuts[1:], strict=False)]
    return [part for part in parts if part]


def weighted(layers: Sequence[Any]) -> list[Any]:
    """The layers that hold weights themselves."""
    return [layer for layer in layers if own_variables_of_layer(layer)[0]]
