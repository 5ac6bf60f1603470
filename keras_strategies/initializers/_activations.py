"""Activations that follow layers, and the initializers recommended for them."""

import re
from collections.abc import Collection, Mapping
from typing import Any

import keras

from keras_strategies._internal.traversal import all_layers
from keras_strategies._internal.types import Tensor

_RECTIFIERS = (
    "relu relu6 leaky_relu prelu p_re_lu elu celu gelu silu swish mish softplus "
    "hard_silu hard_swish squareplus sparse_plus threshold"
)
_BOUNDED = (
    "linear tanh sigmoid softmax log_softmax log_sigmoid hard_sigmoid hard_tanh "
    "softsign tanh_shrink sparse_sigmoid sparsemax"
)
RECOMMENDED = {
    **dict.fromkeys(_RECTIFIERS.split(), "he_normal"),
    **dict.fromkeys(_BOUNDED.split(), "glorot_uniform"),
    "selu": "lecun_normal",
}
# Keras's activation layers, by class.
_LAYERS = {
    "ReLU": "relu",
    "LeakyReLU": "leaky_relu",
    "PReLU": "prelu",
    "ELU": "elu",
    "Softmax": "softmax",
}
# Layers that may stand between a layer with weights and its activation.
_TRANSPARENT = re.compile(
    "Normalization|Dropout|Pooling|Padding|Cropping|Flatten|Reshape"
)
_MERGED = ("Add", "Average", "Concatenate")


def name_of(activation: Any) -> str:
    """Returns the name of an activation, a function or a layer used as one."""
    if isinstance(activation, keras.layers.Layer):
        return of_layer(activation) or _snake(type(activation).__name__)
    return getattr(activation, "__name__", type(activation).__name__)


def of_layer(layer: keras.layers.Layer) -> str | None:
    """Returns the name of the activation a layer applies, if it is one, or `None`."""
    if isinstance(layer, keras.layers.Activation):
        return name_of(layer.activation)
    return _LAYERS.get(type(layer).__name__)


def following(
    tensor: Tensor, consumers: Mapping[int, list[Any]], outputs: Collection[int]
) -> str:
    """Returns the name of the activation that consumes `tensor`.

    `consumers` maps the id of a tensor to `[(layer, its output)]`. If the signal
    reaches an output of the model or another layer with weights, the activation is
    linear; if it cannot be followed, through operations that are no layers, it is
    `"?"`.
    """
    visited, queue = set(), [tensor]
    while queue:
        tensor = queue.pop()
        if id(tensor) in outputs:
            return "linear"
        if id(tensor) in visited:
            continue
        visited.add(id(tensor))
        for layer, output in consumers.get(id(tensor), ()):
            name = type(layer).__name__
            if of_layer(layer):
                return of_layer(layer)
            if _TRANSPARENT.search(name) or name in _MERGED:
                queue.append(output)
            elif layer.weights:
                return "linear"
    return "?"


def is_leaf(layer: keras.layers.Layer) -> bool:
    """Returns whether a layer contains no other layers."""
    return not isinstance(layer, keras.Model) and not all_layers(layer)


def initializer_of(layer: keras.layers.Layer) -> str:
    """Returns the class name of the initializer of a layer's kernel, or `"?"`."""
    for name in ("kernel", "pointwise", "depthwise", "embeddings"):
        initializer = getattr(layer, f"{name}_initializer", None)
        if initializer is not None:
            return re.sub("Initializer$", "", type(initializer).__name__)
    return "?"


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
