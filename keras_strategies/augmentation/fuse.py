"""Stacks of Keras's geometric layers as one `RandomAffine`."""

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import graph_nodes
from keras_strategies.augmentation._fusion import describe, merge
from keras_strategies.augmentation.random_affine import RandomAffine

_KINDS = "RandomFlip, RandomRotation, RandomTranslation, RandomShear and RandomZoom"


def fuse(model_or_layers):
    """Replaces stacks of Keras's geometric layers by the equivalent `RandomAffine`.

    Each of `RandomFlip`, `RandomRotation`, `RandomTranslation`, `RandomShear` and
    `RandomZoom` resamples the images anew, blurs them a bit more, and most switch XLA
    off for the whole model. Their maps `M1, M2, ...` multiply into one:

    ```
    y(p) = x(M1 M2 ... p)
    ```

    so that `RandomAffine`, with the same factors in the same order, draws from the
    same distribution of maps and reads each image once. Fill modes then act once too,
    on the composed map, and the pictures are sharper. The draws themselves are other
    ones.

    A list of layers must fuse into one. In a Sequential or Functional model every
    run of such layers is replaced, inside nested models too; a run is split where a
    kind repeats or the fill differs. A `RandomFlip` that stands alone remains.

    Args:
        model_or_layers: A list of layers, first one first, or a Sequential or
            Functional model.

    Returns:
        A `RandomAffine` for a list. For a model a new model, not compiled, that
        shares all other layers with the old one and leaves the old one as it was; the
        same model if there is nothing to replace.

    Raises:
        ValueError: If a layer of the list is of another class, a kind repeats, or
            layers differ in fill mode, interpolation, format or dtype; the message
            says which. Also if the model has no graph that can be rebuilt.

    Example:

    ```python
    import keras
    from keras_strategies import augmentation

    stack = [
        keras.layers.RandomZoom(0.2),
        keras.layers.RandomRotation(0.1),
        keras.layers.RandomFlip("horizontal"),
    ]
    affine = augmentation.fuse(stack)
    model = keras.Sequential([keras.Input((32, 32, 3)), *stack])
    assert len(augmentation.fuse(model).layers) == 1
    ```
    """
    if isinstance(model_or_layers, list | tuple):
        return _fuse_list(model_or_layers)
    if isinstance(model_or_layers, keras.Model):
        return _fuse_model(model_or_layers, {})
    return checks.instance(
        "model_or_layers", model_or_layers, (list, tuple, keras.Model)
    )


def _fuse_list(layers):
    described = []
    for layer in layers:
        one = describe(layer)
        if one is None:
            fix = f"Only {_KINDS} of Keras can be fused."
            name = type(layer).__name__
            checks.fail("every layer must be geometric", fix=fix, layer=name)
        described.append(one)
    if not described:
        checks.fail("`model_or_layers` must hold a layer", model_or_layers=layers)
    total = described[0]
    for one in described[1:]:
        total, reason = merge(total, one)
        if reason:
            fix = "Fuse the layers before and after apart."
            checks.fail(f"layers must fit into one: {reason}", fix=fix, layers=layers)
    return total.build()


def _runs(layers):
    """`[(layers, fused or None)]`: neighbours that fuse, and all others alone."""
    runs, total = [], None
    for layer in layers:
        one = describe(layer)
        if one is None:
            runs.append(([layer], None))
            total = None
            continue
        together, reason = (None, "first") if total is None else merge(total, one)
        if reason:
            runs.append(([layer], one))
            total = one
        else:
            runs[-1] = (runs[-1][0] + [layer], together)
            total = together
    alone = [len(run) == 1 and _is_flip(run[0]) for run, _ in runs]
    return [
        (run, None if flip or one is None else one.build())
        for (run, one), flip in zip(runs, alone, strict=True)
    ]


def _is_flip(layer):
    return type(layer) is keras.layers.RandomFlip


def _fuse_model(model, done):
    """`model` or its fused copy; `done` keeps what became of nested models."""
    if id(model) not in done:
        nodes = graph_nodes(model)
        if isinstance(model, keras.Sequential):
            made = _fuse_sequential(model, done)
        elif nodes is None:
            fix = "Give a Sequential or Functional model, or its list of layers."
            name = type(model).__name__
            checks.fail("the model must have a graph", fix=fix, model=name)
        else:
            made = _fuse_functional(model, nodes, done)
        done[id(model)] = made
    return done[id(model)]


def _nested(layer, done):
    """What stands for a layer that is no part of a run."""
    is_graph = isinstance(layer, keras.Sequential) or graph_nodes(layer) is not None
    return _fuse_model(layer, done) if is_graph else layer


def _fuse_sequential(model, done):
    layers = []
    for run, fused in _runs(model.layers):
        layers.append(_nested(run[0], done) if fused is None else fused)
    if len(layers) == len(model.layers) and all(
        new is old for new, old in zip(layers, model.layers, strict=True)
    ):
        return model
    if model.built:
        tensor = model.inputs[0]
        layers.insert(0, keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype))
    return keras.Sequential(layers, name=model.name)


def _fuse_functional(model, nodes, done):
    replaced = {}  # id(layer) -> what is called in its place; None for nothing
    for chain in _chains(model, nodes):
        for run, fused in _runs(chain):
            if fused is not None:
                replaced.update({id(layer): None for layer in run[1:]})
                replaced[id(run[0])] = fused
    for operation, *_ in nodes:
        if id(operation) not in replaced and isinstance(operation, keras.Model):
            nested = _nested(operation, done)
            if nested is not operation:
                replaced[id(operation)] = nested
    if not replaced:
        return model

    def call(layer, *args, **kwargs):
        new = replaced.get(id(layer), layer)
        if new is None:
            return args[0]
        if isinstance(new, RandomAffine) and new is not layer:
            # Keras notes `training=True`, the default of its layers; ours asks the
            # model.
            return new(*args)
        return new(*args, **kwargs)

    copy = keras.models.clone_model(
        model, clone_function=lambda layer: layer, call_function=call
    )
    copy.name = model.name
    return copy


def _chains(model, nodes):
    """Lists of fusable layers, each of which feeds only the next one."""
    users, calls = {}, {}
    for operation, args, kwargs, _ in nodes:
        calls[id(operation)] = calls.get(id(operation), 0) + 1
        for tensor in keras.tree.flatten((args, kwargs)):
            users.setdefault(id(tensor), []).append(operation)
    outputs_of_model = {id(tensor) for tensor in model.outputs}
    chains, ends = [], {}
    for operation, args, kwargs, (*_, output) in nodes:
        usual = kwargs in ({}, {"training": True}, {"training": None})
        if describe(operation) is None or calls[id(operation)] > 1 or not usual:
            continue
        chain = ends.pop(id(args[0]), None)
        if chain is None:
            chain = []
            chains.append(chain)
        chain.append(operation)
        if len(users.get(id(output), ())) == 1 and id(output) not in outputs_of_model:
            ends[id(output)] = chain
    return chains
