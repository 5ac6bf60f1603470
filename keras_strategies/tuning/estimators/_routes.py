"""Parts of a model made from classes and parameters with a prefix."""

import copy
from collections.abc import Callable, Mapping
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
        settings: Arguments of the classes, as `_make_members` takes them.
    """
    members = value
    if not isinstance(value, (Mapping, list, tuple)):
        members = [] if value is None else [value]
    if isinstance(members, (list, tuple)):
        members = [member for member in members if member is not None]
    made = _make_members(members, settings, "callbacks", _make_callback)
    return list(made.values()) if isinstance(made, dict) else made


def make_metrics(value: Any, settings: Mapping[str, Any]) -> Any:
    """Returns metrics for one model: copies of objects, objects of classes.

    Args:
        value: Metric, its name or its class, a list of these, a dict of these by the
            name of an output, or `None`.
        settings: Arguments of the classes, as `_make_members` takes them.
    """
    if value is None and not settings:
        return None
    if not isinstance(value, (Mapping, list, tuple)):
        value = [] if value is None else [value]
    return _make_members(value, settings, "metrics", _make_metric)


def _make_members(
    members: Any,
    settings: Mapping[str, Any],
    route: str,
    make: Callable[[Any, Mapping[str, Any], str], Any],
) -> Any:
    """Makes each member of a list or dict.

    Args:
        members: List or dict of members.
        settings: Arguments: those of one member begin with its place in a list or its
            name in a dict, `{"0__patience": 3, "stop__patience": 3}`; others are for
            each class.
        route: Name of the parameter, for errors.
        make: Function of a member, its arguments and their prefix.
    """
    is_dict = isinstance(members, Mapping)
    items = members if is_dict else {str(k): m for k, m in enumerate(members)}
    common = {k: v for k, v in settings.items() if k.partition("__")[0] not in items}
    common |= {k: v for k, v in settings.items() if "__" not in k}
    classes = [m for m in items.values() if isinstance(m, type)]
    unknown = [name for name in common if "__" in name]
    if unknown or (common and not classes):
        checks.fail(
            f"Parameters that begin with `{route}__` need a class among `{route}`, or "
            "the place or name of one there",
            fix=f"For example {_EXAMPLES[route]}.",
            parameters=[f"{route}__{name}" for name in unknown or common],
            **{route: members},
        )
    made = {}
    for name, member in items.items():
        own = without_prefix(settings, name)
        if isinstance(member, type):
            own = {**common, **own}
        made[name] = make(member, own, f"{route}__{name}__")
    return made if is_dict else list(made.values())


_EXAMPLES = {
    "loss": 'loss=["binary_crossentropy"], loss__0__label_smoothing=0.1',
    "callbacks": "callbacks=[EarlyStopping], callbacks__0__patience=3",
    "metrics": "metrics=[BinaryAccuracy], metrics__0__threshold=0.4",
}


def _make_callback(callback, settings, prefix):
    if isinstance(callback, type):
        return callback(**settings)
    _refuse_settings(callback, settings, prefix)
    # Callbacks keep state; each fit gets copies without any.
    return copy.deepcopy(callback)


def _make_metric(metric, settings, prefix):
    if isinstance(metric, type):
        return metric(**settings)
    if isinstance(metric, (list, tuple)):  # several of one output
        return [_make_metric(member, settings, prefix) for member in metric]
    _refuse_settings(metric, settings, prefix)
    if isinstance(metric, keras.metrics.Metric):  # which keeps state
        return type(metric).from_config(metric.get_config())
    return metric


def _refuse_settings(member, settings, prefix):
    if settings:
        checks.fail(
            f"Parameters that begin with `{prefix}` need a class, not an object",
            object=member,
        )


def make_loss(loss: Any, settings: Mapping[str, Any]) -> Any:
    """Returns a loss, or losses by output, with arguments changed.

    Args:
        loss: A class, a name or an object, or a list or dict of these.
        settings: Arguments, as `_make_members` takes them for a list or dict.
    """
    if isinstance(loss, (Mapping, list, tuple)):  # by output
        if settings:
            loss = _with_classes(loss)
        return _make_members(
            loss, settings, "loss", lambda m, own, _: make_loss(m, own)
        )
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


def _with_classes(losses):
    if isinstance(losses, Mapping):
        return dict(zip(losses, _with_classes([*losses.values()]), strict=True))
    return [_loss_class(loss) if isinstance(loss, str) else loss for loss in losses]


def _loss_class(name):
    key = name.replace("_", "").lower()
    aliases = {
        "mse": "meansquarederror",
        "mae": "meanabsoluteerror",
        "bce": "binarycrossentropy",
    }
    key = aliases.get(key, key)
    classes = {
        attribute.lower(): value
        for attribute, value in vars(keras.losses).items()
        if isinstance(value, type)
    }
    if key not in classes:
        checks.fail("`loss` must be the name of a loss of Keras", loss=name)
    return classes[key]
