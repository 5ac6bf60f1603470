"""Checks of the arguments that `ImageDataGenerator` reads in several ways."""

import numbers

import numpy as np

from keras_strategies._internal import checks


def shift_range(name, value):
    """A shift as Keras reads it: a float, an int or a list of choices."""
    if isinstance(value, list | tuple | np.ndarray):
        return [checks.real(name, v, low=0) for v in value]
    if isinstance(value, numbers.Integral):
        return checks.integer(name, value, low=0)
    return checks.real(name, value, low=0)


def _pair(name, value, what):
    if not isinstance(value, list | tuple | np.ndarray) or len(value) != 2:
        rule = f"`{name}` should be {what}"
        checks.fail(rule, **{name: value})
    low, high = (checks.real(name, v, low=0) for v in value)
    if low > high:
        checks.fail(f"`{name}` must be (lower, upper)", **{name: value})
    return low, high


def brightness_range(value):
    if value is None:
        return None
    return _pair("brightness_range", value, "a tuple or list of two floats")


def zoom_range(value):
    if isinstance(value, numbers.Real):
        value = checks.real("zoom_range", value, low=0, high=1)
        return [1 - value, 1 + value]
    what = "a float or a tuple or list of two floats"
    return list(_pair("zoom_range", value, what))


def function_or_none(function):
    if function is not None and not callable(function):
        rule = "`preprocessing_function` must be callable"
        checks.fail(rule, error=TypeError, preprocessing_function=function)
    return function
