"""Traversal of nested models and optimizers."""

from collections.abc import Callable
from typing import Any

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import flatten_layers, inner_optimizers


def all_layers(model: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Returns every layer below `model` once, containers before their contents.

    Goes into nested models, subclassed layers and wrappers such as
    `Bidirectional`. Empty for a subclassed model that is not built yet and
    makes its layers in `build`.
    """
    return [layer for layer in flatten_layers(model) if layer is not model]


def check_built(model: Any, needs_weights: Callable[[Any], bool]) -> None:
    """Refuses a model of which some weights do not exist yet.

    Args:
        model: A `keras.Model`.
        needs_weights: Whether the weights of a layer matter to the caller. A layer
            without any may stay unbuilt in a model that is built.
    """
    unbuilt = [layer for layer in all_layers(model) if not layer.built]
    missing = [layer.name for layer in unbuilt if needs_weights(layer)]
    if missing or not model.built:
        checks.fail(
            "`model` must be built: its weights do not exist yet",
            fix="Call the model on one batch, or `model.build(input_shape)`, first.",
            model=model.name,
            unbuilt_layers=missing,
        )


def all_variables(model: keras.Model) -> list[keras.Variable]:
    """Returns the variables of a model, also those that Keras does not track.

    The state of a stateful recurrent layer is an attribute of it and in no list.
    """
    variables = {id(variable): variable for variable in model.variables}
    for layer in [model, *all_layers(model)]:
        for value in vars(layer).values():
            variables |= {id(variable): variable for variable in _variables_in(value)}
    return list(variables.values())


def _variables_in(value: Any) -> list[keras.Variable]:
    """Variables in an attribute, also in lists and dicts (of keys of any type)."""
    if isinstance(value, keras.Variable):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list | tuple):
        return []
    return [variable for entry in value for variable in _variables_in(entry)]


def optimizer_variables(optimizer: Any) -> list[keras.Variable]:
    """Returns the variables of an optimizer, also those that Keras does not track.

    `Nadam` in a `LossScaleOptimizer`, as `compile` makes it in mixed_float16, has a
    product of its momenta that is in no list.
    """
    variables = {id(variable): variable for variable in optimizer.variables}
    for path in optimizer_paths(optimizer):
        for item in path:
            for value in vars(item).values():
                if isinstance(value, keras.Variable):
                    variables[id(value)] = value
    return list(variables.values())


def innermost_optimizer(optimizer: Any) -> Any:
    """Unwraps `LossScaleOptimizer` and other wrappers through `inner_optimizer`."""
    while getattr(optimizer, "inner_optimizer", None) is not None:
        optimizer = optimizer.inner_optimizer
    return optimizer


def base_optimizers(optimizer: Any) -> list[Any]:
    """Returns the optimizers that really update variables, as a list.

    Unwraps `LossScaleOptimizer` and other wrappers through `inner_optimizer`
    and `MultiOptimizer` through `optimizers`.
    """
    return [path[0] for path in optimizer_paths(optimizer)]


def optimizer_paths(optimizer: Any) -> list[list[Any]]:
    """Returns, for each base optimizer, the list of itself and those around it.

    The first is the base optimizer, the last is `optimizer`.
    """
    inside = inner_optimizers(optimizer)
    if not inside:
        return [[optimizer]]
    return [[*path, optimizer] for inner in inside for path in optimizer_paths(inner)]
