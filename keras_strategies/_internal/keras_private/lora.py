"""LoRA of Keras's layers, merged into the weights it stands beside."""

from typing import Any

import keras

from keras_strategies._internal.weights.values import host_value

# The weight that LoRA stands beside, and the two that it adds.
_KINDS = {
    "kernel": ("_kernel", "lora_kernel_a", "lora_kernel_b"),
    "embeddings": ("_embeddings", "lora_embeddings_a", "lora_embeddings_b"),
}


def merge_lora(layer: keras.layers.Layer) -> None:
    """Adds what LoRA learned to the weight of a layer and takes LoRA out of it.

    Keras merges nowhere but in files. The weight is a property that has LoRA in it,
    over a private variable; deleting the added variables needs the layer's tracker
    unlocked. `del layer.weight` collects garbage for each weight, which takes a second
    where much is alive: the attributes are taken out below it. Keras 3.12 to 3.15.
    """
    (name,) = [kind for kind in _KINDS if hasattr(layer, _KINDS[kind][1])]
    stored, *added = _KINDS[name]
    weight = getattr(layer, stored)
    weight.assign(host_value(getattr(layer, name)))
    layer._tracker.unlock()
    for attribute in added:
        layer._untrack_variable(getattr(layer, attribute))
        super(keras.layers.Layer, layer).__delattr__(attribute)
    layer._tracker.lock()
    weight.trainable = layer.trainable
    layer.lora_enabled, layer.lora_rank, layer.lora_alpha = False, None, None


def lora_weights(layer: keras.layers.Layer) -> list[keras.Variable]:
    """The variables that LoRA added to a layer. Keras 3.12 to 3.15."""
    for stored, *added in _KINDS.values():
        if hasattr(layer, stored) and getattr(layer, "lora_enabled", False):
            return [getattr(layer, attribute) for attribute in added]
    return []


def lora_sum(layer: keras.layers.Layer) -> tuple[keras.Variable | None, Any]:
    """`(stored weight, its sum with what LoRA adds)`; `(None, None)` without LoRA.

    The stored one is an attribute with an underscore. Keras 3.12 to 3.15.
    """
    if lora_weights(layer):
        for name, (stored, added, _) in _KINDS.items():
            if hasattr(layer, added):
                return getattr(layer, stored), getattr(layer, name)
    return None, None
