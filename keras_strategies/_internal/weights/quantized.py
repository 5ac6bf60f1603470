"""Descriptions of the simulated quantization in a model.

Layers that simulate integers have an attribute `simulated_quantization`: a dict
with `kind` (`"activation"` or `"weights"`), `name`, and for an activation `range`,
its `(low, high)` as floats or `None` while it has seen no batch.
"""

from typing import Any

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.traversal import all_layers


def simulated(model: keras.Model) -> list[dict[str, Any]]:
    """The descriptions of all simulated quantizations below `model`."""
    entries = [
        getattr(layer, "simulated_quantization", None) for layer in model_layers(model)
    ]
    return [entry for entry in entries if entry is not None]


def model_layers(model: keras.Model) -> list[keras.layers.Layer]:
    return [model, *all_layers(model)]


def is_quantize_aware(model: keras.Model) -> bool:
    """Whether `model` simulates quantization, so that it converts without data."""
    return bool(simulated(model))


def check_not_quantize_aware(model: keras.Model, fix: str) -> None:
    """Refuses a model that rounds in its own graph."""
    if is_quantize_aware(model):
        checks.fail(
            "`model` must be a float model, not a quantization-aware one",
            fix=fix,
            model=model.name,
        )


def unset_ranges(model: keras.Model) -> list[str]:
    """Names of the activations whose range is unknown: they stay float."""
    return [
        entry["name"]
        for entry in simulated(model)
        if entry["kind"] == "activation" and entry["range"] is None
    ]
