"""Whether a batch hook only looks at its logs, by its code."""

import types
from collections.abc import Callable
from typing import Any

import keras

from keras_strategies._internal.references import cell_value, names_in

# Names in the code of a hook that acts on the training or measures the time of a step.
_ACTING = frozenset(
    (
        "model",
        "_model",
        "stop_training",
        "optimizer",
        "time",
        "perf_counter",
        "monotonic",
        "time_ns",
        "perf_counter_ns",
        "sleep",
        "now",
        "getattr",
        "vars",
        "eval",
        "exec",
        "super",
    )
)
_OBJECTS = (
    keras.layers.Layer,
    keras.optimizers.Optimizer,
    keras.Variable,
    keras.callbacks.Callback,
    keras.metrics.Metric,
)


def only_reads_logs(callback: Any, hook: Callable[..., Any]) -> bool:
    """Returns whether the code of a hook reaches neither model nor clock.

    A cautious reading: of the hook and of the functions of its module and the methods
    of its class that it names. What it reaches through an object of another kind is
    not seen.
    """
    owner = getattr(hook, "__self__", callback)  # of a hook that was assigned
    if owner is not callback and _acts(owner):
        return False
    return _only_reads(owner, getattr(hook, "__func__", hook), set())


def _only_reads(callback, function, seen):
    code = getattr(function, "__code__", None)
    if code is None:  # a builtin or an object that is called
        return isinstance(function, types.BuiltinFunctionType) and not _acts(
            getattr(function, "__self__", None)
        )
    if code in seen:
        return True
    seen.add(code)
    names = names_in(code)
    if names & _ACTING:
        return False
    cells = [cell_value(cell) for cell in function.__closure__ or ()]
    named = [function.__globals__[n] for n in names if n in function.__globals__]
    attributes = getattr(callback, "__dict__", {})
    own = [attributes[name] for name in names if name in attributes]
    if any(_acts(value) for value in [*cells, *named, *own]):
        return False
    methods = [getattr(type(callback), name, None) for name in names]
    called = [
        item
        for item in [*cells, *named, *own, *methods]
        if isinstance(item, types.FunctionType | types.MethodType)
    ]
    return all(
        _only_reads(callback, getattr(item, "__func__", item), seen)
        for item in called
        if item.__module__ == function.__module__
        or item.__module__.startswith(("keras.", "keras_strategies."))
    )


def _acts(value: Any, depth: int = 0) -> bool:
    """Whether it is a part of the training, or a container with one."""
    if isinstance(value, _OBJECTS):
        return True
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple) and depth < 2:
        return any(_acts(item, depth + 1) for item in value)
    # A bound method, or an object of the user's, that has the model.
    owner = getattr(value, "__self__", None)
    return owner is not None and isinstance(owner, _OBJECTS)
