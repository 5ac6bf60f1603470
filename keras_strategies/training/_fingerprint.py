"""Fingerprint of a model and of the environment that a plan was measured in."""

import hashlib
import json

import keras

from keras_strategies._internal.traversal import all_layers


def fingerprint(model: keras.Model) -> str:
    """Returns a short hash of layers, weights and optimizer, without names."""
    # Names are left out, as Keras numbers them anew in each process.
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


def environment() -> dict[str, str]:
    """Returns the versions that a measured time depends on."""
    backend = keras.backend.backend()
    versions = {"keras": keras.__version__, "backend": backend}
    if backend == "tensorflow":
        import tensorflow

        versions["tensorflow"] = tensorflow.__version__
    elif backend == "jax":
        import jax

        versions["jax"] = jax.__version__
    return versions
