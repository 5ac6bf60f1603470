"""Residual branches that begin as nothing."""

import keras
from keras import ops

from keras_strategies._internal import checks, keras_private
from keras_strategies._internal.walking import all_layers


def zero_gamma(model, only=None):
    """Makes every residual block of a built model the identity at the start.

    The last normalization of each residual branch gets a scale (`gamma`) of zero, so
    that a deep residual network begins as a shallow one, which makes the first epochs
    steadier and allows larger batches and learning rates. Call it before training:
    what a trained branch has learned would be lost. To build a network that way
    instead, give the layer `gamma_initializer="zeros"`.

    A residual branch is found in the graph of a Functional model and of Functional
    models inside it: of the tensors that an `Add` joins, the one with most layers
    with weights behind it that no other has. Where two have equally many, as in
    feature pyramids, neither is changed. Between the normalization and the `Add` only
    layers without weights may stand, such as dropout. Frozen scales are left.

    Reference:

    - [Goyal et al., 2017, Accurate, Large Minibatch SGD: Training ImageNet in 1
      Hour](https://arxiv.org/abs/1706.02677), section 5.1

    Args:
        model: A built Functional `keras.Model`.
        only: A regular expression that is searched in the paths of the scales (such
            as `"stage_2/.*/gamma"`). Defaults to `None`, all of them.

    Returns:
        The paths of the scales that are zero now, in the order of the graph.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If no residual branch ends in a normalization with a scale that
            `only` matches.

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
    wanted = checks.pattern("only", only, optional=True)
    found = {}
    for part in [model, *all_layers(model)]:
        nodes = keras_private.graph_nodes(part) if isinstance(part, keras.Model) else []
        for gamma in _last_scales(nodes or []):
            if gamma.trainable and wanted.search(gamma.path):
                found.setdefault(id(gamma), gamma)
    if not found:
        checks.fail(
            "`model` must have a residual branch that ends in a normalization with a "
            "scale",
            fix="It must be a Functional model whose branches are joined by `Add`.",
            model=model.name,
            only=only,
        )
    for gamma in found.values():
        gamma.assign(ops.zeros(gamma.shape, gamma.dtype))
    return [gamma.path for gamma in found.values()]


def _last_scales(nodes):
    """The scales of the last normalizations of the residual branches of a graph."""
    makers = {id(t): node for node in nodes for t in node[3]}
    behind = {}
    for node in nodes:  # in the order of the graph: those before are known
        behind[id(node)] = {id(node)}.union(
            *(behind[id(makers[id(t)])] for t in _inputs(node) if id(t) in makers)
        )
    weighted = {id(node) for node in nodes if getattr(node[0], "weights", None)}
    for node in nodes:
        if type(node[0]).__name__ != "Add":
            continue
        branches = [
            behind[id(makers[id(t)])] if id(t) in makers else set()
            for t in _inputs(node)
        ]
        sizes = [
            len((own - set().union(*branches[:i], *branches[i + 1 :])) & weighted)
            for i, own in enumerate(branches)
        ]
        if len(sizes) < 2 or sizes.count(max(sizes)) > 1:
            continue
        gamma = _scale(_inputs(node)[sizes.index(max(sizes))], makers)
        if gamma is not None:
            yield gamma


def _scale(tensor, makers):
    """The scale of the last layer with weights before `tensor`, if it has one."""
    while id(tensor) in makers:
        node = makers[id(tensor)]
        if getattr(node[0], "weights", None):
            gamma = getattr(node[0], "gamma", None)
            return gamma if isinstance(gamma, keras.Variable) else None
        if len(_inputs(node)) != 1:
            return None
        [tensor] = _inputs(node)
    return None


def _inputs(node):
    leaves = keras.tree.flatten((node[1], node[2]))
    return [leaf for leaf in leaves if isinstance(leaf, keras.KerasTensor)]
