"""Fingerprint of a model and of the environment that a plan was measured in."""

import hashlib
import json
import platform
from collections.abc import Mapping

import keras

from keras_strategies._internal.keras_private.training import compile_arguments
from keras_strategies._internal.traversal import all_layers

# What names and numbers objects, and differs between processes.
_NAMES = ("name", "registered_name", "shared_object_id", "build_config")


def fingerprint(model: keras.Model) -> str:
    """Returns a short hash of all that a compiled step of a model is made of.

    Layers and their connections, weights, loss, metrics, optimizer and methods that
    the class overrides. Names of layers are left out, as Keras numbers them anew in
    each process, and so are the numbers of the optimizer, which schedulers change and
    whose values do not matter for the time of a step.
    """
    compiled = compile_arguments(model) if model.compiled else {}
    parts = {
        "model": _functions(model),
        "config": _config(model),
        "layers": [_layer(layer) for layer in all_layers(model)],
        "weights": [
            [list(weight.shape), str(weight.dtype), bool(weight.trainable)]
            for weight in model.weights
        ],
        "optimizer": _without_values(_described(getattr(model, "optimizer", None))),
        **{
            name: _described(compiled.get(name))
            for name in ("loss", "loss_weights", "metrics", "weighted_metrics")
        },
    }
    text = json.dumps(parts, sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def environment() -> dict[str, str]:
    """Returns the versions and the processor that a measured time depends on."""
    backend = keras.backend.backend()
    versions = {"keras": keras.__version__, "backend": backend}
    if backend == "tensorflow":
        import tensorflow

        versions["tensorflow"] = tensorflow.__version__
    elif backend == "jax":
        import jax

        versions["jax"] = jax.__version__
    versions["processor"] = _processor()
    return versions


def _processor():
    """What computes: the accelerators that Keras sees, else the kind of CPU."""
    devices = keras.distribution.list_devices()
    if any(not device.startswith("cpu") for device in devices):
        return f"{len(devices)} x {devices[0].split(':')[0]}"
    return platform.processor() or platform.machine()


def _layer(layer):
    return [_qualified(type(layer)), _config(layer)]


def _config(layer):
    """The config of a layer with the names of its layers replaced by their numbers."""
    try:
        config = layer.get_config()
    except Exception:  # what a class of the user's raises that has none
        return None
    # Nested models come after those that have them, and count in their own config.
    names = [item.name for item in getattr(layer, "layers", [])]
    numbers = {name: f"#{number}" for number, name in enumerate(names)}
    return _anonymous(config, numbers)


def _anonymous(value, numbers):
    if isinstance(value, Mapping):
        return {
            str(key): _anonymous(item, numbers)
            for key, item in value.items()
            if key not in _NAMES
        }
    if isinstance(value, list | tuple):
        return [_anonymous(item, numbers) for item in value]
    if isinstance(value, str):
        return numbers.get(value, value)
    return value if isinstance(value, int | float | None) else repr(type(value))


def _described(value):
    """A structure of losses, metrics or an optimizer, without names."""
    if isinstance(value, Mapping):
        return {str(key): _described(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_described(item) for item in value]
    if isinstance(value, str | int | float | None):
        return value
    if not hasattr(value, "get_config"):
        return _function(value)
    return [_qualified(type(value)), _config(value)]


def _without_values(value):
    """Whether a number is 0, in the place of its value."""
    if isinstance(value, Mapping):
        return {key: _without_values(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_values(item) for item in value]
    return bool(value) if isinstance(value, float) else value


def _functions(model):
    """The class, and the code of the methods of a step that it overrides."""
    methods = ("train_step", "test_step", "compute_loss", "compute_metrics", "call")
    own = [
        _function(getattr(type(model), name))
        for name in methods
        if getattr(type(model), name) is not getattr(keras.Model, name)
    ]
    return [_qualified(type(model)), own]


def _function(value):
    code = getattr(value, "__code__", None)
    text = repr((code.co_code, code.co_names)) if code is not None else ""
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{getattr(value, '__qualname__', type(value).__qualname__)} {digest}"


def _qualified(cls):
    return f"{cls.__module__}.{cls.__qualname__}"
