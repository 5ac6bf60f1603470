"""Schedules of values: functions, or piecewise-constant values in a dict."""

import numbers
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import keras

from keras_strategies._internal import checks

#: A function of the position, or `{first position: value}`.
Schedule: TypeAlias = Callable[[int], Any] | Mapping[int, Any]

_FIX = "Give a function of the position, or a dict such as {0: first, 10: second}."


def validate_schedule(name: str, schedule: Schedule) -> Schedule:
    """Checks a function of the position or `{first position: value}`."""
    if callable(schedule):
        return schedule
    if not isinstance(schedule, Mapping):
        checks.fail(
            f"`{name}` must be callable or a dict",
            fix=_FIX,
            error=TypeError,
            **{name: schedule},
        )
    for position in schedule:
        checks.integer(f"{name} position", position, low=0)
    if 0 not in schedule:
        checks.fail(
            f"`{name}` must have a value for position 0",
            fix=_FIX,
            **{name: dict(schedule)},
        )
    return dict(schedule)


def evaluate_schedule(schedule: Schedule, position: int) -> Any:
    """Returns the value at `position`; tensors are turned into numbers or arrays."""
    if callable(schedule):
        return as_numbers(schedule(position))
    return schedule[max(first for first in schedule if first <= position)]


def as_numbers(value: Any) -> Any:
    """Returns what a function of the user's returned, any scalar tensor as a number."""
    if isinstance(value, numbers.Number | tuple | list | str | None):
        return value
    value = keras.ops.convert_to_numpy(value)
    return value.item() if value.ndim == 0 else value
