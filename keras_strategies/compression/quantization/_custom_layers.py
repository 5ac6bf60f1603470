"""Layers of the user's that say by `quantize_config` what of them is rounded."""

from typing import Any

import keras

from keras_strategies._internal import checks

_METHODS = ("get_weights", "quantizes_outputs")


def has_config(layer: Any) -> bool:
    """Whether a layer is a custom one with a `quantize_config`."""
    if type(layer).__module__.startswith("keras."):
        return False
    config = getattr(layer, "quantize_config", None)
    return config is not None and all(hasattr(config, name) for name in _METHODS)


def named_weights(layer: Any) -> list[keras.Variable]:
    """The weights that are rounded, checked."""
    weights = list(layer.quantize_config.get_weights(layer))
    own = {id(weight) for weight in layer.weights}
    for weight in weights:
        if id(weight) not in own:
            checks.fail(
                "`quantize_config.get_weights(layer)` must return weights of the layer",
                fix="For example `[layer.kernel]`.",
                layer=layer.name,
                weight=type(weight).__name__,
            )
    return weights


def quantizes_outputs(layer: Any) -> bool:
    """Whether what a layer returns is rounded; it is for layers of Keras."""
    return not has_config(layer) or bool(layer.quantize_config.quantizes_outputs(layer))
