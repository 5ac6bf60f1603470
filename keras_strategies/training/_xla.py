"""What keeps XLA away from a model."""

from keras_strategies._internal.walking import all_layers


def blocking_layers(model):
    """`[(layer, why), ...]` of the layers that say that XLA does not support them."""
    return [
        (layer, f"{type(layer).__name__} has no XLA")
        for layer in all_layers(model)
        if not layer.supports_jit
    ]
