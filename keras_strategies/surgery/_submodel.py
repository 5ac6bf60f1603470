"""Parts of a model as models of their own."""

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.model_graph import (
    Graph,
    Tensor,
    check_rebuildable,
    clone_layer,
    copy_state,
    read,
    substitute,
)
from keras_strategies._internal.select import Selector
from keras_strategies.surgery._targets import free_name, several


def submodel(
    model: keras.Model,
    inputs: Selector | None = None,
    outputs: Selector | None = None,
    *,
    name: str | None = None,
) -> keras.Model:
    """Returns the part of a model between some layers as a model of its own.

    Gives the features of a trained network, its head alone, or the layers in between.
    Models nested in it are opened, so that the part may begin or end inside them. The
    new model shares nothing with the old one, which stays as it is.

    Args:
        model: A built Sequential or functional `keras.Model`.
        inputs: Layers to begin with; the new model takes what goes into them. A
            regular expression that is searched in the path of each layer
            (`"^backbone/conv_2$"`), a layer, a function of a layer, or a list of
            these, each of which must select one layer. Defaults to `None`, the inputs
            of the model.
        outputs: Layers to end with, in the same form; the new model returns what they
            make. Defaults to `None`, the outputs of the model.
        name: Name of the new model. Defaults to that of the model.

    Returns:
        A Functional model, not compiled, with copies of the layers and their weights.
        Its inputs and outputs are lists where several layers were given.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If the model cannot be rebuilt from its graph, if an entry does not
            select exactly one layer, if a layer to begin or end with is called more
            than once, or if the outputs need more than these inputs; the message names
            what they need.

    Example:

    ```python
    import keras
    from keras_strategies import surgery

    model = keras.Sequential([
        keras.Input((8,)),
        keras.layers.Dense(16, activation="relu", name="hidden"),
        keras.layers.Dense(3, name="head"),
    ])
    features = surgery.submodel(model, outputs="^hidden$")
    head = surgery.submodel(model, inputs="^head$")
    ```
    """
    check_rebuildable(model)
    graph = read(model)
    starts, ends = graph.inputs, graph.outputs
    if inputs is not None:
        targets = several(model, "inputs", inputs)
        starts = [t for target in targets for t in _ends(graph, model, target)[0]]
    if outputs is not None:
        targets = several(model, "outputs", outputs)
        ends = [t for target in targets for t in _ends(graph, model, target)[1]]
    return extract(graph, starts, ends, name or model.name, model)


def split(
    model: keras.Model, at: Selector, *, names: tuple[str, str] | None = None
) -> tuple[keras.Model, keras.Model]:
    """Cuts a model in two: up to some layers, and from there to its outputs.

    Use it to store the features of a frozen backbone, or to run two halves on two
    devices: `second(first(x))` is what the model computes.

    Args:
        model: A built Sequential or functional `keras.Model`.
        at: The last layers of the first part: a regular expression that is searched in
            the path of each layer, a layer, a function of a layer, or a list of these,
            each of which must select one layer. Every way from the inputs to the
            outputs must pass one of them.
        names: Names of the two parts. Defaults to that of the model with `_first` and
            `_second`.

    Returns:
        Two Functional models, not compiled, with copies of the layers and weights.
        With several layers at the cut the first returns a list that the second takes.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If the model cannot be rebuilt from its graph, if an entry does not
            select exactly one layer, or if another tensor crosses the cut; the message
            names its layer.

    Example:

    ```python
    import keras
    from keras_strategies import surgery

    model = keras.Sequential([
        keras.Input((8,)),
        keras.layers.Dense(16, activation="relu", name="hidden"),
        keras.layers.Dense(3, name="head"),
    ])
    backbone, head = surgery.split(model, "^hidden$")
    ```
    """
    check_rebuildable(model)
    first, second = names or (f"{model.name}_first", f"{model.name}_second")
    graph = read(model)
    targets = several(model, "at", at)
    cut = [tensor for t in targets for tensor in _ends(graph, model, t)[1]]
    return (
        extract(graph, graph.inputs, cut, first, model),
        extract(graph, cut, graph.outputs, second, model),
    )


def _ends(graph, model, target):
    """The tensors that go into a layer or nested model, and those it makes."""
    if isinstance(target.item, keras.layers.InputLayer):
        return _of_input_layer(graph, model, target)
    calls = [c for c in graph.calls if c.operation is target.item]
    if len(calls) != 1:
        checks.fail(
            "A layer to begin or end with must be called once",
            layer=target.path,
            calls=len(calls),
        )
    [call] = calls
    return call.inputs, call.outputs if call.results is None else call.results


def _of_input_layer(graph, model, target):
    for tensor, keras_tensor in zip(graph.inputs, model.inputs, strict=True):
        if target.item.output is keras_tensor:
            return [tensor], [tensor]
    return checks.fail(
        "An input layer to begin or end with must be one of the model itself",
        layer=target.path,
    )


def extract(
    graph: Graph,
    starts: list[Tensor],
    ends: list[Tensor],
    name: str,
    model: keras.Model,
) -> keras.Model:
    """The Functional model from the tensors `starts` to the tensors `ends`."""
    calls = _needed(graph, starts, ends)
    values, names, inputs, copies = {}, set(), [], {}
    kept_names = dict(zip(graph.inputs, (t.name for t in model.inputs), strict=True))
    for number, tensor in enumerate(starts):
        label = kept_names.get(tensor, "input" if number == 0 else f"input_{number}")
        made = keras.Input(
            batch_shape=tensor.shape,
            dtype=tensor.dtype,
            name=free_name(label, names),
        )
        inputs.append(made)
        values[tensor] = made
    for call in calls:
        operation = call.operation
        if id(operation) not in copies:
            label = free_name(operation.name, names)
            # Operations other than layers have names, but not in their configs.
            changes = {"name": label} if "name" in operation.get_config() else {}
            copies[id(operation)] = (operation, clone_layer(operation, **changes))
        args, kwargs = substitute((call.args, call.kwargs), values)
        made = keras.tree.flatten(copies[id(operation)][1](*args, **kwargs))
        values.update(zip(call.outputs, made, strict=True))
    copy = keras.Model(
        _structure(graph.inputs, starts, inputs, model, "input"),
        _structure(graph.outputs, ends, [values[t] for t in ends], model, "output"),
        name=name,
    )
    for old, new in copies.values():
        copy_state(old, new)
    return copy


def _structure(own, tensors, values, model, kind):
    """Values as the model structures them if they are all of its own, else a list."""
    if tensors == own and not isinstance(model, keras.Sequential):
        return keras.tree.pack_sequence_as(getattr(model, kind), values)
    return values[0] if len(values) == 1 else values


def _needed(graph, starts, ends):
    """The calls between, in order; refuses inputs that are not among the starts."""
    needed, waiting, missing = set(), list(ends), []
    while waiting:
        tensor = waiting.pop()
        if tensor in starts:
            continue
        if tensor.producer is None:
            missing.append(tensor)
        elif tensor.producer not in needed:
            needed.add(tensor.producer)
            waiting.extend(tensor.producer.inputs)
    if missing:
        crossing = [
            call.path
            for call in graph.calls
            if call in needed and any(tensor in missing for tensor in call.inputs)
        ]
        checks.fail(
            "The outputs must depend on nothing but the given inputs",
            fix="Begin with, or cut at, more layers: these take inputs of the model.",
            layers=crossing,
        )
    return [call for call in graph.calls if call in needed]
