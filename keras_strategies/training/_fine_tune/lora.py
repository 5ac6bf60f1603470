"""Low-rank adaptation of chosen layers, merged afterwards."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_strategies._internal import checks, freezing
from keras_strategies._internal.keras_private import lora_weights, merge_lora


def adaptable(layers: Sequence[Any]) -> list[Any]:
    """The layers that LoRA can stand beside: Dense, EinsumDense, Embedding, Conv.

    Raises:
        ValueError: If there is none, or one that has LoRA already.
    """
    able = [layer for layer in layers if hasattr(layer, "enable_lora")]
    able = [layer for layer in able if layer.quantization_mode is None]
    if not able:
        checks.fail(
            "`lora` needs layers that Keras can adapt: Dense, EinsumDense, Embedding "
            "or convolutions",
            fix="Choose others by `include`.",
            layers=[layer.name for layer in layers],
        )
    adapted = [layer.name for layer in able if layer.lora_enabled]
    if adapted:
        checks.fail(
            "`lora` must be for layers without LoRA",
            fix="Exclude these layers.",
            layers=adapted,
        )
    return able


def begin(
    model: keras.Model, layers: Sequence[Any], rank: int, alpha: float | None
) -> None:
    """Adds LoRA to layers and freezes all else in them, biases too."""
    freezing.unfreeze_layers(model, layers)
    for layer in layers:
        layer.enable_lora(rank, lora_alpha=alpha)
        added = {id(variable) for variable in lora_weights(layer)}
        for variable in layer.trainable_variables:
            variable.trainable = id(variable) in added


def merge(model: keras.Model, layers: Sequence[Any]) -> None:
    """Adds what was learned to the layers' own weights and freezes them again."""
    for layer in layers:
        if layer.lora_enabled:
            merge_lora(layer)
            for variable in layer.weights:
                variable.trainable = True
    freezing.freeze_layers(model, layers)
