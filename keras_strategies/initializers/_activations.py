"""Which activation follows a layer, and which initializer suits it."""

import re

import keras

from keras_strategies._internal.walking import all_layers

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
# Keras's layers that are activations, by class.
_LAYERS = {
    "ReLU": "relu",
    "LeakyReLU": "leaky_relu",
    "PReLU": "prelu",
    "ELU": "elu",
    "Softmax": "softmax",
}
# What a signal passes on its way to its activation.
_PASSED = re.compile("Normalization|Dropout|Pooling|Padding|Cropping|Flatten|Reshape")
_MERGED = ("Add", "Average", "Concatenate")


def name_of(activation):
    """The name of an activation: a function, or a layer given as one."""
    if isinstance(activation, keras.layers.Layer):
        return of_layer(activation) or _snake(type(activation).__name__)
    return getattr(activation, "__name__", type(activation).__name__)


def of_layer(layer):
    """The name of the activation that a layer is, or `None`."""
    if isinstance(layer, keras.layers.Activation):
        return name_of(layer.activation)
    return _LAYERS.get(type(layer).__name__)


def following(tensor, users, outputs):
    """The name of the activation that `tensor` goes to.

    `users` maps the id of a tensor to `[(layer, its output)]`. Where the signal
    reaches an output of the model or another layer with weights, it is linear; where
    it gets lost, in operations that are no layers, the answer is `"?"`.
    """
    seen, waiting = set(), [tensor]
    while waiting:
        tensor = waiting.pop()
        if id(tensor) in outputs:
            return "linear"
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        for layer, output in users.get(id(tensor), ()):
            name = type(layer).__name__
            if of_layer(layer):
                return of_layer(layer)
            if _PASSED.search(name) or name in _MERGED:
                waiting.append(output)
            elif layer.weights:
                return "linear"
    return "?"


def is_leaf(layer):
    """Whether a layer is no container of other layers."""
    return not isinstance(layer, keras.Model) and not all_layers(layer)


def initializer_of(layer):
    """The name of the class that initializes the kernel of a layer."""
    for name in ("kernel", "pointwise", "depthwise", "embeddings"):
        found = getattr(layer, f"{name}_initializer", None)
        if found is not None:
            return re.sub("Initializer$", "", type(found).__name__)
    return "?"


def _snake(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
