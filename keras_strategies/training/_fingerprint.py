"""What tells whether a saved plan belongs to a model."""

import hashlib
import json

import keras

from keras_strategies._internal.walking import all_layers


def fingerprint(model):
    """A short hash of layers, weights, optimizer and loss; names do not count."""
    parts = {
        "layers": [type(layer).__name__ for layer in all_layers(model)],
        "weights": [
            [list(weight.shape), str(weight.dtype), bool(weight.trainable)]
            for weight in model.weights
        ],
        "optimizer": type(model.optimizer).__name__,
    }
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def environment():
    """Versions that a measured time depends on."""
    found = {"keras": keras.__version__, "backend": keras.backend.backend()}
    if found["backend"] == "tensorflow":
        import tensorflow

        found["tensorflow"] = tensorflow.__version__
    elif found["backend"] == "jax":
        import jax

        found["jax"] = jax.__version__
    return found
