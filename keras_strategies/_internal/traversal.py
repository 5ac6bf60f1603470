"""Traversal of nested models and optimizers."""

from typing import Any

import keras

from keras_strategies._internal.keras_private import flatten_layers


def all_layers(model):
    """Returns every layer below `model` once, containers before their contents.

    Goes into nested models, subclassed layers and wrappers such as
    `Bidirectional`. Empty for a subclassed model that is not built yet and
    makes its layers in `build`.
    """
    return [layer for layer in flatten_layers(model) if layer is not model]


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


def innermost_optimizer(optimizer):
    """Unwraps `LossScaleOptimizer` and other wrappers through `inner_optimizer`."""
    while getattr(optimizer, "inner_optimizer", None) is not None:
        optimizer = optimizer.inner_optimizer
    return optimizer


def base_optimizers(optimizer):
    """Returns the optimizers that really update variables, as a list.

    Unwraps `LossScaleOptimizer` and other wrappers through `inner_optimizer`
    and `MultiOptimizer` through `optimizers`.
    """
    optimizer = innermost_optimizer(optimizer)
    children = getattr(optimizer, "optimizers", None)
    if children:
        return [leaf for child in children for leaf in base_optimizers(child)]
    return [optimizer]


def optimizer_paths(optimizer):
    """Returns, for each base optimizer, the list of itself and those around it.

    The first is the base optimizer, the last is `optimizer`.
    """
    inner = getattr(optimizer, "inner_optimizer", None)
    children = [inner] if inner is not None else getattr(optimizer, "optimizers", None)
    if not children:
        return [[optimizer]]
    return [[*path, optimizer] for child in children for path in optimizer_paths(child)]
