"""Zero initialization of the last normalization of residual branches."""

from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from keras_strategies._internal import checks, keras_private
from keras_strategies._internal.select import Selection, Selector, weight_targets
from keras_strategies._internal.types import Tensor
from keras_strategies._internal.walking import all_layers


def zero_gamma(
    model: keras.Model,
    include: Selector | None = None,
    exclude: Selector | None = None,
) -> list[str]:
    """Makes every residual block of a built model, in place, the identity at first.

    The last normalization of each residual branch gets a scale (`gamma`) of zero, so
    that a deep residual network starts as a shallow one, which stabilizes the first
    epochs and allows larger batches and learning rates. Call it before training: what a
    trained branch has learned would be lost. To construct such a network instead, give
    the layer `gamma_initializer="zeros"`.

    Residual branches are determined from the graph of a Functional model and of
    Functional models inside it: of the tensors that an `Add` joins, the one that
    depends on most layers with weights that none of the others depends on. Where two
    have equally many, as in feature pyramids, neither is changed. Between the
    normalization and the `Add` there may only be layers without weights, such as
    dropout. Frozen scales are not changed.

    Reference:

    - [Goyal et al., 2017, Accurate, Large Minibatch SGD: Training ImageNet in 1
      Hour](https://arxiv.org/abs/1706.02677), section 5.1

    Args:
        model: A built Functional `keras.Model`.
        include: The scales to set: a regular expression that is searched in the path of
            a scale (`"stage_2/norm/gamma"`), a layer or model, a scale, a function of a
            layer, or a list of these. Defaults to `None`, all.
        exclude: The scales to leave unchanged, as in `include`, which it overrides.
            Defaults to `None`.

    Returns:
        The paths of the scales that were set to zero, in the order of the graph.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If no residual branch ends in a normalization with a scale, or
            `include` and `exclude` leave none.

    Example:

    ```python
    import keras
    from keras_strategies import initializers

    x = inputs = keras.Input((8, 8, 4))
    y = keras.layers.Conv2D(4, 3, padding="same")(x)
    y = keras.layers.BatchNormalization(name="last")(y)
    model = keras.Model(inputs, keras.layers.Add()([x, y]))
    print(initializers.zero_gamma(model))  # ["last/gamma"]
    ```
    """
    checks.instance("model", model, keras.Model)
    selection = Selection(include, exclude)
    scales: dict[int, keras.Variable] = {}
    for part in [model, *all_layers(model)]:
        nodes = keras_private.graph_nodes(part) if isinstance(part, keras.Model) else []
        for gamma in _last_scales(nodes or []):
            if gamma.trainable:
                scales.setdefault(id(gamma), gamma)
    if not scales:
        checks.fail(
            "`model` must have a residual branch that ends in a normalization with a "
            "scale",
            fix="It must be a Functional model whose branches are joined by `Add`.",
            model=model.name,
        )
    targets = {id(target.item): target for target in weight_targets(model)}
    selected = selection.choose([targets[key] for key in scales], "scale")
    for target in selected:
        target.item.assign(ops.zeros(target.item.shape, target.item.dtype))
    return [target.path for target in selected]


# A node is `(operation, args, kwargs, outputs)` of one call, in the order of the graph.
_Node = tuple[Any, Any, Any, Any]


def _last_scales(nodes: list[_Node]) -> Iterator[keras.Variable]:
    """Yields the scales of the last normalizations of the residual branches."""
    producers = {id(t): node for node in nodes for t in node[3]}
    ancestors: dict[int, set[int]] = {}  # ids of nodes, the node itself included
    for node in nodes:
        ancestors[id(node)] = {id(node)}.union(
            *(_ancestors_of(t, producers, ancestors) for t in _inputs(node))
        )
    weighted = {id(node) for node in nodes if getattr(node[0], "weights", None)}
    for node in nodes:
        if type(node[0]).__name__ != "Add":
            continue
        branches = [_ancestors_of(t, producers, ancestors) for t in _inputs(node)]
        # Layers with weights of each branch alone: the shortcut has fewest of them.
        sizes = [
            len((branch - set().union(*branches[:i], *branches[i + 1 :])) & weighted)
            for i, branch in enumerate(branches)
        ]
        if len(sizes) < 2 or sizes.count(max(sizes)) > 1:
            continue
        gamma = _scale(_inputs(node)[sizes.index(max(sizes))], producers)
        if gamma is not None:
            yield gamma


def _ancestors_of(
    tensor: Tensor, producers: dict[int, _Node], ancestors: dict[int, set[int]]
) -> set[int]:
    """Returns the nodes that a tensor depends on; none for an input of the graph."""
    node = producers.get(id(tensor))
    return set() if node is None else ancestors[id(node)]


def _scale(tensor: Tensor, producers: dict[int, _Node]) -> keras.Variable | None:
    """Returns the scale of the last layer with weights before `tensor`, if any."""
    while id(tensor) in producers:
        node = producers[id(tensor)]
        if getattr(node[0], "weights", None):
            gamma = getattr(node[0], "gamma", None)
            return gamma if isinstance(gamma, keras.Variable) else None
        if len(_inputs(node)) != 1:
            return None
        [tensor] = _inputs(node)
    return None


def _inputs(node: _Node) -> list[Tensor]:
    leaves = keras.tree.flatten((node[1], node[2]))
    return [leaf for leaf in leaves if isinstance(leaf, keras.KerasTensor)]
