"""Residual branches that begin as nothing."""

import keras
from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.model_graph import walk


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
    for _, graph in walk(model):
        for gamma in _last_scales(graph):
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


def _last_scales(graph):
    """The scales of the last normalizations of the residual branches of a graph."""
    behind = {}
    for call in graph.calls:  # in the order of the graph: those before are known
        behind[call] = {call}.union(
            *(behind[t.producer] for t in call.inputs if t.producer is not None)
        )
    weighted = {call for call in graph.calls if getattr(call.operation, "weights", ())}
    for call in graph.calls:
        if type(call.operation).__name__ != "Add":
            continue
        branches = [
            set() if tensor.producer is None else behind[tensor.producer]
            for tensor in call.inputs
        ]
        sizes = [
            len((own - set().union(*branches[:i], *branches[i + 1 :])) & weighted)
            for i, own in enumerate(branches)
        ]
        if len(sizes) < 2 or sizes.count(max(sizes)) > 1:
            continue
        gamma = _scale(call.inputs[sizes.index(max(sizes))])
        if gamma is not None:
            yield gamma


def _scale(tensor):
    """The scale of the last layer with weights before `tensor`, if it has one."""
    while tensor.producer is not None:
        call = tensor.producer
        if getattr(call.operation, "weights", ()):
            gamma = getattr(call.operation, "gamma", None)
            return gamma if isinstance(gamma, keras.Variable) else None
        if len(call.inputs) != 1:
            return None
        [tensor] = call.inputs
    return None
