"""Traversal of nested models and optimizers."""

from collections.abc import Callable
from typing import Any

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import flatten_layers


def all_layers(model):
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
