"""Pruning of layers that begins once the model they end up in is known."""

import functools
from collections.abc import Callable
from typing import Any

import keras

from keras_strategies._internal import bases, checks, keras_private, traversal


class Deferred(bases.Constraint):
    """Constraint of the weights of a marked layer until training starts.

    The number of a training step is known to the optimizer of the whole model, which
    a layer by itself cannot find. TFMOT asks for `UpdatePruningStep` too.
    """

    def __init__(self, layer_name: str, before: Any) -> None:
        self.layer_name = layer_name
        self.before = before

    def __call__(self, value: Any) -> Any:
        raise RuntimeError(
            f"Layer '{self.layer_name}' was given to prune_low_magnitude by itself: "
            "pass tfmot.sparsity.keras.UpdatePruningStep() to `fit` as a callback, or "
            "prune the whole model."
        )

    def get_config(self) -> dict[str, Any]:
        return {"layer_name": self.layer_name, "before": self.before}


def mark(layer: Any, apply: Callable[[keras.Model, Any], None]) -> None:
    """Makes `apply(model, layer)` be called when training starts."""
    layer._tfmot_deferred = apply
    if layer.built:
        _guard(layer)
        return
    build = layer.build

    @functools.wraps(build)  # Keras reads its arguments
    def build_and_guard(*args: Any, **kwargs: Any) -> None:
        build(*args, **kwargs)
        if layer._tfmot_deferred is not None:
            _guard(layer)

    layer.build = build_and_guard


def _guard(layer):
    """Training without the callback raises instead of leaving the layer dense."""
    for weight in layer.trainable_weights:
        weight.constraint = Deferred(layer.name, weight.constraint)


def start(model: keras.Model) -> bool:
    """Prunes the marked layers of `model`; whether there are any."""
    marked = _marked(model)
    if marked and not keras_private.build_for_fit(model):
        checks.fail(
            "The model must be built before its layers are pruned",
            fix="Call it once on an input, or give it an Input.",
            model=model.name,
        )
    for layer in marked:
        apply = _unmark(layer)
        apply(model, layer)
    return bool(marked)


def cancel(model: keras.Model) -> None:
    """Takes the marks off the layers of `model`, which then train as others do."""
    for layer in _marked(model):
        _unmark(layer)


def _marked(model):
    return [
        layer
        for layer in traversal.all_layers(model)
        if getattr(layer, "_tfmot_deferred", None) is not None
    ]


def _unmark(layer):
    """Removes what `mark` did to a layer; returns its function."""
    apply, layer._tfmot_deferred = layer._tfmot_deferred, None
    for weight in layer.trainable_weights:
        if isinstance(weight.constraint, Deferred):
            weight.constraint = weight.constraint.before
    return apply
