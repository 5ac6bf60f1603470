"""Values that change over a fit: given by a function or as a list of stairs."""

import numbers
from collections.abc import Mapping

import keras

from keras_strategies._internal import checks

_FIX = "Give a function of the position, or a dict such as {0: first, 10: second}."


def checked_values(name, schedule):
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
            f"`{name}` must say what holds from position 0",
            fix=_FIX,
            **{name: dict(schedule)},
        )
    return dict(schedule)


def value_at(schedule, position):
    """The value that holds at `position`, as Python or NumPy gives it."""
    if callable(schedule):
        value = schedule(position)
        if isinstance(value, numbers.Number | tuple | list):
            return value
        value = keras.ops.convert_to_numpy(value)
        return value.item() if value.ndim == 0 else value
    return schedule[max(first for first in schedule if first <= position)]
