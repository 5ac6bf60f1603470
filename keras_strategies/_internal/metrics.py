"""The direction of a metric: whether less or more of it is better."""

import inspect
from typing import Any, Literal

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import (
    compiled_metrics,
    own_direction,
    wrapped_function,
)

Direction = Literal["min", "max"]

# Names that `compile` resolves by the shape of the labels, not by `keras.metrics.get`.
_RESOLVED_BY_LABELS: dict[str, Direction] = {
    "acc": "max",
    "accuracy": "max",
    "ce": "min",
    "crossentropy": "min",
    "loss": "min",
}
# Keras gives these no direction, as neither alone says how good a model is.
_COUNTS: dict[type, Direction] = {
    keras.metrics.FalseNegatives: "min",
    keras.metrics.FalsePositives: "min",
    keras.metrics.TrueNegatives: "max",
    keras.metrics.TruePositives: "max",
}


def metric_direction(
    metric: Any,
    *,
    model: keras.Model | None = None,
    argument: str = "metric",
    fix: str = "Give `mode` as 'min' or 'max', or use a metric of keras.metrics.",
) -> Direction:
    """Returns `"min"` or `"max"`, whichever is better for `metric`.

    Args:
        metric: A `keras.metrics.Metric` or `keras.losses.Loss`, a class of these, a
            function of `keras.metrics` or `keras.losses`, or a name: one that
            `compile` takes or an entry of the logs, with or without `val_`.
        model: The compiled model in whose metrics a name is looked up first.
        argument: Name of the argument that the error names.
        fix: What to do about it, in the error.

    Raises:
        ValueError: If the direction is not known. It is never guessed from a name: a
            function of the user's may be called anything.
    """
    found = _direction(metric, model)
    if found is None:
        checks.fail(
            f"`{argument}` must be a metric of which it is known whether less or more "
            "of it is better",
            fix=fix,
            **{argument: metric},
        )
    return found


def known_direction(metric: Any, model: keras.Model | None = None) -> Direction | None:
    """Returns what `metric_direction` does, or `None` where that raises."""
    return _direction(metric, model)


def _direction(metric, model):
    if isinstance(metric, str):
        return _of_name(metric.removeprefix("val_"), model)
    if isinstance(metric, keras.losses.Loss):
        return "min"
    if isinstance(metric, keras.metrics.Metric):
        return _of_object(metric)
    if inspect.isclass(metric) and issubclass(metric, keras.losses.Loss):
        return "min"
    if inspect.isclass(metric) and issubclass(metric, keras.metrics.Metric):
        return _of_class(metric)
    return _of_function(metric)


def _of_name(name, model):
    if name == "loss" or name.endswith("_loss"):
        return "min"
    if model is not None:
        return _in_model(name, model)
    if name.lower() in _RESOLVED_BY_LABELS:
        return _RESOLVED_BY_LABELS[name.lower()]
    try:
        return _direction_of_known(keras.metrics.get(name))
    except ValueError:
        try:
            return "min" if keras.losses.get(name) is not None else None
        except ValueError:
            return None


def _direction_of_known(metric):
    """The direction of what Keras made of a name; a name never leads to a name."""
    return None if metric is None else _direction(metric, None)


def _in_model(name, model):
    """The direction of a log entry, which may begin with the name of an output."""
    ends_with = None
    for metric in compiled_metrics(model):
        direction = _of_object(metric)
        if metric.name == name:
            return direction
        if name.endswith(f"_{metric.name}") and direction is not None:
            ends_with = direction
    return ends_with


def _of_object(metric):
    direction = own_direction(metric)
    if direction is not None:
        return direction
    for kind, value in _COUNTS.items():
        if isinstance(metric, kind):
            return value
    # A plain function in `compile(metrics=[...])` is wrapped, without a direction.
    function = wrapped_function(metric)
    return None if function is None else _of_function(function)


def _of_class(kind):
    if kind in _COUNTS:
        return _COUNTS[kind]
    try:
        return _of_object(kind())
    except TypeError:  # it needs arguments
        return None


def _of_function(function):
    """The direction of a function of `keras.losses` or `keras.metrics`, by identity."""
    name = getattr(function, "__name__", "")
    if function is not None and getattr(keras.losses, name, None) is function:
        return "min"
    if function is not None and getattr(keras.metrics, name, None) is function:
        try:
            return _of_object(keras.metrics.get(name))
        except (ValueError, AttributeError):
            return None
    return None
