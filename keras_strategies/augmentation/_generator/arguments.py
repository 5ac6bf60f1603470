"""Checks of `ImageDataGenerator` arguments that have several forms."""

import numbers
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_strategies._internal import checks


def shift_range(name: str, value: Any) -> Any:
    """Checks a shift as Keras defines it: a float, an int or a list of choices."""
    if isinstance(value, list | tuple | np.ndarray):
        return [checks.real(name, v, low=0) for v in value]
    if isinstance(value, numbers.Integral):
        return checks.integer(name, value, low=0)
    return checks.real(name, value, low=0)


def _pair(name: str, value: Any, description: str) -> tuple[float, float]:
    if not isinstance(value, list | tuple | np.ndarray) or len(value) != 2:
        rule = f"`{name}` should be {description}"
        checks.fail(rule, **{name: value})
    low, high = (checks.real(name, v, low=0) for v in value)
    if low > high:
        checks.fail(f"`{name}` must be (lower, upper)", **{name: value})
    return low, high


def brightness_range(value: Any) -> tuple[float, float] | None:
    """Checks a pair of factors, or `None`."""
    if value is None:
        return None
    return _pair("brightness_range", value, "a tuple or list of two floats")


def zoom_range(value: Any) -> list[float]:
    """Checks a pair of factors, or a number `z` for `[1 - z, 1 + z]`."""
    if isinstance(value, numbers.Real):
        value = checks.real("zoom_range", value, low=0, high=1)
        return [1 - value, 1 + value]
    description = "a float or a tuple or list of two floats"
    return list(_pair("zoom_range", value, description))


def function_or_none(function: Any) -> Callable[[Any], Any] | None:
    """Checks a preprocessing function, or `None`."""
    if function is not None and not callable(function):
        rule = "`preprocessing_function` must be callable"
        checks.fail(rule, error=TypeError, preprocessing_function=function)
    return function
