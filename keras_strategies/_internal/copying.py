"""Copies of layers, and what a copy of a model is compiled with."""

import tempfile
from inspect import isroutine

import keras
import numpy as np

from keras_strategies._internal.walking import all_layers


def copy_layer(layer):
    """A new layer from the config of one that may have classes Keras cannot find."""
    # The code of a Lambda comes from a live layer here, not from a file.
    trust = {"safe_mode": False} if type(layer) is keras.layers.Lambda else {}
    with keras.saving.custom_object_scope(own_objects(layer)):
        return type(layer).from_config(layer.get_config(), **trust)


def copy_state(old, new):
    """Gives the built copy of a layer its weights, vocabularies and `trainable`."""
    for one, other in zip(parts(old), parts(new), strict=True):
        copy_variables(one, other)
        if hasattr(one, "save_assets"):
            with tempfile.TemporaryDirectory() as folder:
                one.save_assets(folder)
                other.load_assets(folder)
        if other.trainable != one.trainable:
            other.trainable = one.trainable
    if isinstance(old, keras.layers.Layer):
        for one, other in zip(old.weights, new.weights, strict=True):
            other.trainable = one.trainable


def copy_variables(old, new):
    """Gives a layer the values of another of its kind, not those of layers in it."""
    saved = {}
    old.save_own_variables(saved)
    if saved:
        new.load_own_variables({name: value_of(v) for name, v in saved.items()})


def value_of(variable):
    """A value to assign to another variable.

    By way of NumPy: on JAX both would hold one array, which a training step of one
    deletes.
    """
    return np.array(keras.ops.convert_to_numpy(variable))


def parts(layer):
    """A layer and all layers in it; nothing for an operation without weights."""
    if not isinstance(layer, keras.layers.Layer):
        return []
    return [layer, *all_layers(layer)]


def compile_objects(model):
    """The loss functions and the classes a model was compiled with, by name."""
    if not model.compiled:
        return {}
    things = [type(model.optimizer)]
    for loss in keras.tree.flatten(model.loss):
        things.append(loss if hasattr(loss, "__name__") else type(loss))
    return by_name(things)


def own_objects(layer):
    """The classes in a layer, and the functions it keeps such as its activation."""
    things = [type(part) for part in parts(layer)]
    for part in parts(layer):
        things += [thing for thing in vars(part).values() if isroutine(thing)]
    return by_name(things)


def by_name(things):
    """Those that neither Keras nor Python itself finds by their name."""
    known = ("keras.", "keras_strategies.", "builtins")
    return {
        thing.__name__: thing
        for thing in things
        if not (getattr(thing, "__module__", None) or "builtins").startswith(known)
    }
