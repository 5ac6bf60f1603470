"""Layers of an editable model that may be selected."""

from collections.abc import Sequence

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.model_graph import input_layers, is_open, read, walk
from keras_strategies._internal.select import Selection, Selector, Target


def layer_targets(model: keras.Model) -> list[Target]:
    """Every layer of a model with a graph once, nested models and their layers too."""
    return list(_walk(model, "", set()))


def _walk(model, prefix, seen):
    calls = read(model, open_nested=False).calls
    for layer in [*input_layers(model), *(call.operation for call in calls)]:
        if id(layer) in seen or not isinstance(layer, keras.layers.Layer):
            continue
        seen.add(id(layer))
        path = prefix + layer.name
        yield Target(path, layer, layer)
        if is_open(layer):
            yield from _walk(layer, f"{path}/", seen)


def chosen(
    model: keras.Model,
    include: Selector | None,
    exclude: Selector | None,
    *,
    inputs: bool = True,
) -> list[Target]:
    """The selected layers; a selected model stands for itself, not for its layers.

    With `inputs=False` input layers are no candidates.
    """
    targets = [
        target
        for target in layer_targets(model)
        if inputs or not isinstance(target.item, keras.layers.InputLayer)
    ]
    return Selection(include, exclude, inside=False).choose(targets)


def single(model: keras.Model, name: str, entry: Selector) -> Target:
    """The one layer that `entry` selects."""
    selection = Selection(entry, inside=False, names=(name, "exclude"))
    targets = selection.choose(layer_targets(model))
    if len(targets) > 1:
        checks.fail(
            f"`{name}` must select one layer",
            fix="Give the layer itself, or an expression such as '^conv_1$'.",
            **{name: entry},
            paths=[target.path for target in targets],
        )
    return targets[0]


def several(model: keras.Model, name: str, entries: Selector) -> list[Target]:
    """One layer for each entry, in the order of the entries."""
    is_list = isinstance(entries, Sequence) and not isinstance(entries, str)
    return [single(model, name, entry) for entry in (entries if is_list else [entries])]


def operation_names(model: keras.Model) -> set[str]:
    """Names of all layers and operations of a model and of the models inside it."""
    return {
        operation.name
        for part, graph in walk(model)
        for operation in [*input_layers(part), *(c.operation for c in graph.calls)]
    }


def free_name(name: str, names: set[str]) -> str:
    """`name`, or with the first number behind it that makes it a new one; notes it."""
    unique, count = name, 0
    while unique in names:
        count += 1
        unique = f"{name}_{count}"
    names.add(unique)
    return unique
