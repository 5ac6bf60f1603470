"""What a training consists of, and how two of them differ."""

import inspect
from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import Any

import keras
import numpy as np

from keras_strategies._internal.keras_private import (
    compile_arguments,
    iterations_variable,
)
from keras_strategies._internal.keras_private.distribution.process_group import (
    active_group,
)
from keras_strategies._internal.keras_private.distribution.replicated_values import (
    replica_count,
)
from keras_strategies._internal.traversal import all_layers, innermost_optimizer

#: Parts that `allow` may name, with what they are.
PARTS = {
    "backend": "the backend of Keras",
    "callbacks": "the callbacks of fit",
    "compile": "loss, metrics and other arguments of compile",
    "data": "batch size, length and order of the data",
    "devices": "the number of devices that share a batch, and of processes",
    "model": "layers and their arguments, of the same weights",
    "optimizer": "the optimizer and its arguments",
    "versions": "versions of Keras and of the backend",
}
_RATE = "learning_rate"
# Given anew by Keras in each process, or no part of the computation.
_IGNORED = {"name", "build_config", "registered_name", "shared_object_id", "function"}


def describe(value: Any) -> Any:
    """Returns what `value` is as plain JSON, the same in every process.

    Objects of Keras are their class and config without names; functions and other
    objects are their qualified name; arrays are shape and type.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        items = [(str(k), v) for k, v in value.items() if str(k) not in _IGNORED]
        return {key: describe(entry) for key, entry in sorted(items)}
    if isinstance(value, list | tuple | set | frozenset):
        entries = [describe(entry) for entry in value]
        return (
            sorted(entries, key=str) if isinstance(value, set | frozenset) else entries
        )
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return [list(value.shape), str(value.dtype)]
    if inspect.isroutine(value) or inspect.isclass(value):
        return getattr(value, "__qualname__", type(value).__name__)
    return _describe_object(value)


def _describe_object(value):
    name = type(value).__qualname__
    if not hasattr(value, "get_config"):
        return name
    try:
        config = value.get_config()
    except (NotImplementedError, TypeError, ValueError):  # one that cannot be saved
        return name
    return {"class": name, **dict(describe(config))}


def of_optimizer(model: keras.Model) -> Any:
    """Returns the optimizer with its arguments.

    The rate of one that has trained is no argument any more: callbacks have changed it.
    It is `None` then, which is compared with nothing.
    """
    described = describe(model.optimizer)
    optimizer = innermost_optimizer(model.optimizer)
    counter = iterations_variable(optimizer) if optimizer is not None else None
    if counter is not None and int(keras.ops.convert_to_numpy(counter)):
        return _without_rates(described)
    return described


def _without_rates(described):
    if isinstance(described, list):
        return [_without_rates(entry) for entry in described]
    if not isinstance(described, dict):
        return described
    return {
        key: None
        if key == _RATE and isinstance(entry, float)
        else _without_rates(entry)
        for key, entry in described.items()
    }


def is_rate(path: str) -> bool:
    """Whether this path of `differences` is a learning rate."""
    return path.rpartition(".")[2] == _RATE


def of_model(model: keras.Model) -> dict[str, Any]:
    """Returns the layers with their arguments, and the weights."""
    layers = [
        type(layer).__qualname__
        if isinstance(layer, keras.Model)
        else _describe_object(layer)
        for layer in all_layers(model)
    ]
    return {
        "class": type(model).__qualname__,
        "layers": {f"{i}": layer for i, layer in enumerate(layers)},
        "weights": [[list(w.shape), str(w.dtype)] for w in model.weights],
        "trainable": [bool(w.trainable) for w in model.weights],
    }


def of_compile(model: keras.Model) -> dict[str, Any]:
    """Returns the arguments of `compile` without the optimizer."""
    arguments = dict(compile_arguments(model))
    arguments.pop("optimizer", None)
    return describe(arguments)


def of_data(fit: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what the data of a running `fit` are.

    Args:
        fit: The arguments of the `fit`, of `running_fit`.
    """
    x, iterator = fit["x"], fit["epoch_iterator"]
    about = {"steps_per_epoch": iterator.num_batches}
    signature = getattr(x, "signature", None)
    if callable(signature):
        return {**about, "kind": type(x).__name__, **signature()}
    about["batch_size"] = fit.get("batch_size")
    about["shuffle"] = fit.get("shuffle")
    about["class_weight"] = describe(fit.get("class_weight"))
    arrays = [leaf for leaf in keras.tree.flatten(x) if hasattr(leaf, "shape")]
    if arrays:
        return {**about, "kind": "arrays", "records": int(arrays[0].shape[0])}
    return {**about, "kind": type(x).__name__}


def of_devices(model: keras.Model) -> dict[str, int]:
    """Returns what shares the work: rounding depends on it, and random layers."""
    group = active_group()
    return {
        "processes": 1 if group is None else group.size,
        "replicas": replica_count(model),
    }


def fingerprint(
    model: keras.Model,
    fit: Mapping[str, Any],
    callbacks: Iterable[keras.callbacks.Callback],
) -> dict[str, Any]:
    """Returns what a training consists of, as JSON, part by part."""
    backend = keras.backend.backend()
    return {
        "backend": backend,
        "versions": {"keras": keras.__version__, backend: metadata.version(backend)},
        "model": of_model(model),
        "compile": of_compile(model),
        "optimizer": of_optimizer(model),
        "data": of_data(fit),
        "devices": of_devices(model),
        "callbacks": [type(callback).__qualname__ for callback in callbacks],
    }


def differences(
    before: Any, now: Any, path: tuple[str, ...] = ()
) -> list[tuple[str, Any, Any]]:
    """Returns `(path, before, now)` of each value that is not the same."""
    if isinstance(before, dict) and isinstance(now, dict):
        keys = dict.fromkeys([*before, *now])
        return [
            entry
            for key in keys
            for entry in differences(
                before.get(key, "(absent)"), now.get(key, "(absent)"), (*path, key)
            )
        ]
    unknown = path[-1:] == (_RATE,) and None in (before, now)
    if unknown or before == now:
        return []
    return [(".".join(path), before, now)]
