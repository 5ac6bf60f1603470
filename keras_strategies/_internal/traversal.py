"""Traversal of nested models and optimizers."""

from typing import Any

import keras

from keras_strategies._internal.keras_private import flatten_layers, inner_optimizers


def all_layers(model: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Returns every layer below `model` once, containers before their contents.

    Goes into nested models, subclassed layers and wrappers such as
    `Bidirectional`. Empty for a subclassed model that is not built yet and
    makes its layers in `build`.
    """
    return [layer for layer in flatten_layers(model) if layer is not model]


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
