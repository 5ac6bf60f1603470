"""Zero initialization of the last normalization of residual branches."""

from collections.abc import Iterator

import keras
from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.model_graph import Call, Graph, Tensor, walk
from keras_strategies._internal.select import Selection, Selector, weight_targets


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
    for _, graph in walk(model):
        for gamma in _last_scales(graph):
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


def _last_scales(graph: Graph) -> Iterator[keras.Variable]:
    """Yields the scales of the last normalizations of the residual branches."""
    ancestors: dict[Call, set[Call]] = {}  # the call itself included
    for call in graph.calls:  # in the order of the graph: those before are there
        ancestors[call] = {call}.union(
            *(_ancestors_of(tensor, ancestors) for tensor in call.inputs)
        )
    weighted = {call for call in graph.calls if getattr(call.operation, "weights", ())}
    for call in graph.calls:
        if type(call.operation).__name__ != "Add":
            continue
        branches = [_ancestors_of(tensor, ancestors) for tensor in call.inputs]
        # Layers with weights of each branch alone: the shortcut has fewest of them.
        sizes = [
            len((branch - set().union(*branches[:i], *branches[i + 1 :])) & weighted)
            for i, branch in enumerate(branches)
        ]
        if len(sizes) < 2 or sizes.count(max(sizes)) > 1:
            continue
        gamma = _scale(call.inputs[sizes.index(max(sizes))])
        if gamma is not None:
            yield gamma


def _ancestors_of(tensor: Tensor, ancestors: dict[Call, set[Call]]) -> set[Call]:
    """Returns the calls that a tensor depends on; none for an input of the graph."""
    return set() if tensor.producer is None else ancestors[tensor.producer]


def _scale(tensor: Tensor) -> keras.Variable | None:
    """Returns the scale of the last layer with weights before `tensor`, if any."""
    while tensor.producer is not None:
        call = tensor.producer
        if getattr(call.operation, "weights", ()):
            gamma = getattr(call.operation, "gamma", None)
            return gamma if isinstance(gamma, keras.Variable) else None
        if len(call.inputs) != 1:
            return None
        [tensor] = call.inputs
    return None
