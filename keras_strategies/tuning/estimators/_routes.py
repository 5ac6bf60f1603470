"""Parts of a model made from classes and parameters with a prefix."""

import copy
from collections.abc import Mapping
from typing import Any

import keras

from keras_strategies._internal import checks


def without_prefix(parameters: Mapping[str, Any], receiver: str) -> dict[str, Any]:
    """Returns the parameters that begin with `receiver__`, by their remaining names."""
    prefix = f"{receiver}__"
    return {
        name.removeprefix(prefix): value
        for name, value in parameters.items()
        if name.startswith(prefix)
    }


def make_callbacks(value: Any, settings: Mapping[str, Any]) -> list[Any]:
    """Returns callbacks for one fit: copies of objects, objects of classes.

    Args:
        value: Callback or class of one, a list of these, a dict of these by name, or
            `None`.
        settings: Arguments of the classes; those of one in a dict begin with its name,
            `{"stop__patience": 3}`.
    """
    if isinstance(value, Mapping):
        return [
            _make(callback, without_prefix(settings, name), f"callbacks__{name}__")
            for name, callback in value.items()
        ]
    members = value if isinstance(value, (list, tuple)) else [value]
    members = [member for member in members if member is not None]
    classes = [member for member in members if isinstance(member, type)]
    if settings and len(classes) != 1:
        checks.fail(
            "Parameters that begin with `callbacks__` need one class of a callback "
            "among `callbacks`, or a dict of classes by name",
            fix="For example callbacks=EarlyStopping, callbacks__patience=3.",
            callbacks=value,
        )
    return [
        _make(member, settings if isinstance(member, type) else {}, "callbacks__")
        for member in members
    ]


def _make(callback, settings, prefix):
    if isinstance(callback, type):
        return callback(**settings)
    if settings:
        checks.fail(
            f"Parameters that begin with `{prefix}` need a class, not an object",
            callback=callback,
        )
    # Callbacks keep state; each fit gets copies without any.
    return copy.deepcopy(callback)


def make_loss(loss: Any, settings: Mapping[str, Any]) -> Any:
    """Returns a loss with arguments changed: of a class, a name or an object."""
    if isinstance(loss, str) and settings:
        loss = _loss_class(loss)
    if isinstance(loss, type):
        return loss(**settings)
    if not settings:
        return loss
    checks.instance(
        "loss",
        loss,
        keras.losses.Loss,
        fix="Parameters that begin with `loss__` need a class or a name of a loss.",
    )
    return type(loss).from_config({**loss.get_config(), **settings})


def _loss_class(name):
    key = name.replace("_", "").lower()
    aliases = {"mse": "meansquarederror", "mae": "meanabsoluteerror"}
    key = aliases.get(key, key)
    classes = {
        attribute.lower(): value
        for attribute, value in vars(keras.losses).items()
        if isinstance(value, type)
    }
    if key not in classes:
        checks.fail("`loss` must be the name of a loss of Keras", loss=name)
    return classes[key]
