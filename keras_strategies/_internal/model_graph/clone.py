"""Copies of layers, of their state, and of whole models."""

import contextlib
import pathlib
import tempfile
from collections.abc import Iterator
from inspect import isroutine
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import (
    share_lambda_functions,
    trusting_object_scope,
)
from keras_strategies._internal.traversal import all_layers


def clone_layer(layer: Any, **changes: Any) -> Any:
    """A new layer or operation from the config of a live one, with `changes` of it.

    Unlike a file, a live layer holds its own code: classes and functions that are not
    registered, and Lambdas, are copied too.
    """
    return clone_as(type(layer), layer, {**config_of(layer), **changes})


def config_of(layer: Any) -> dict[str, Any]:
    """The config of a layer; an error that says what to do where it has none."""
    try:
        return layer.get_config()
    except NotImplementedError as error:
        rule = "A layer to copy must have `get_config`"
        received = {"layer": layer.name, "type": type(layer).__name__}
        fix = "Return its constructor's arguments from `get_config`."
        raise ValueError(checks.message(rule, received, fix)) from error


def clone_as(kind: type, layer: Any, config: dict[str, Any]) -> Any:
    """A layer of class `kind` from a config, with the code that `layer` holds."""
    with live_objects(layer):
        copy = kind.from_config(config)
    # Not strict: a copy that is not built yet has fewer layers inside.
    for old, new in zip(parts(layer), parts(copy), strict=False):
        if type(old) is type(new) is keras.layers.Lambda:
            share_lambda_functions(old, new)
    return copy


def copy_state(old: Any, new: Any) -> None:
    """Gives the built copy of a layer its weights, vocabularies and `trainable`."""
    for source, target in zip(parts(old), parts(new), strict=True):
        copy_variables(source, target)
        # Vocabularies are no variables: Keras keeps them in files.
        if hasattr(source, "save_assets"):
            with tempfile.TemporaryDirectory() as folder:
                source.save_assets(folder)
                target.load_assets(folder)
        if target.trainable != source.trainable:
            target.trainable = source.trainable
    if isinstance(old, keras.layers.Layer):
        for source, target in zip(old.weights, new.weights, strict=True):
            target.trainable = source.trainable


def copy_variables(old: Any, new: Any) -> None:
    """Gives a layer the values of another of its kind, not those of layers in it."""
    state: dict[str, Any] = {}
    old.save_own_variables(state)
    if state:
        new.load_own_variables({name: value_of(v) for name, v in state.items()})


def value_of(variable: Any) -> np.ndarray:
    """A value to assign to another variable.

    By way of NumPy: on JAX both would hold one array, which a training step of either
    deletes.
    """
    return np.array(keras.ops.convert_to_numpy(variable))


def parts(layer: Any) -> list[Any]:
    """A layer and all layers in it; nothing for an operation without weights."""
    if not isinstance(layer, keras.layers.Layer):
        return []
    return [layer, *all_layers(layer)]


@contextlib.contextmanager
def live_objects(*layers: Any, also: dict[str, Any] | None = None) -> Iterator[None]:
    """Lets Keras find the classes and functions in live layers, Lambdas included."""
    objects = dict(also or {})
    for layer in layers:
        objects |= own_objects(layer)
    with trusting_object_scope(objects):
        yield


def compile_objects(model: keras.Model) -> dict[str, Any]:
    """The loss functions and the classes a model was compiled with, by name."""
    if not model.compiled:
        return {}
    objects = [type(model.optimizer)]
    for loss in keras.tree.flatten(model.loss):
        objects.append(loss if hasattr(loss, "__name__") else type(loss))
    return by_name(objects)


def own_objects(layer: Any) -> dict[str, Any]:
    """The classes in a layer, and the functions and objects it keeps."""
    objects = [type(part) for part in parts(layer)] or [type(layer)]
    for part in parts(layer):
        for value in vars(part).values():
            if isroutine(value):
                objects.append(value)
            elif hasattr(value, "get_config"):  # a regularizer, a constraint, ...
                objects.append(type(value))
    return by_name(objects)


def by_name(objects: list[Any]) -> dict[str, Any]:
    """Those that neither Keras nor Python itself finds by their name."""
    findable = ("keras.", "keras_strategies.", "builtins")
    return {
        item.__name__: item
        for item in objects
        if not (getattr(item, "__module__", None) or "builtins").startswith(findable)
    }


def save_and_load(model: keras.Model) -> keras.Model:
    """A copy of any model that Keras can save, with its weights, not compiled."""
    objects = by_name([type(part) for part in parts(model)]) | compile_objects(model)
    with tempfile.TemporaryDirectory(prefix="keras_strategies_") as folder:
        path = pathlib.Path(folder) / "model.keras"
        try:
            with live_objects(model, also=objects):
                model.save(path)
                return keras.saving.load_model(path, compile=False, safe_mode=False)
        except (TypeError, ValueError, NotImplementedError) as error:
            rule = "`model` must be one that Keras can save and load"
            fix = "A subclassed model needs `get_config` for its arguments."
            text = checks.message(rule, {"model": model.name}, fix)
            raise ValueError(f"{text} {error}") from error
