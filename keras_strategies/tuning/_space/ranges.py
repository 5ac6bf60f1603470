"""Ranges as users write them, and how they enter a search space.

A constructor argument of a hypermodel is one value, which is then fixed and not
in the space, or a pair `(low, high)` (numbers) or a tuple of names (choices).
`int_range`, `float_range` and `names` check it and return the tuple; a tuple of
equal bounds or of one name is fixed. `sample_*` declare it and return its value.
"""

from keras_strategies._internal import checks


def _pair(name, value, check):
    if isinstance(value, list | tuple):
        if len(value) != 2:
            checks.fail(
                f"`{name}` must be one number or a pair (low, high)", **{name: value}
            )
        low, high = (check(name, bound) for bound in value)
        if low > high:
            checks.fail(
                f"`{name}` must be a pair (low, high) with low <= high",
                fix="Swap the two.",
                **{name: value},
            )
        return low, high
    value = check(name, value)
    return value, value


def int_range(name, value, *, low):
    """Checks an integer or a pair of integers that are at least `low`."""
    return _pair(name, value, lambda n, v: checks.integer(n, v, low=low))


def float_range(name, value, **interval):
    """Checks a number or a pair of numbers; `interval` as in `checks.real`."""
    return _pair(name, value, lambda n, v: checks.real(n, v, **interval))


def names(name, value, known):
    """Checks one name or several different ones, each in `known`."""
    values = tuple(value) if isinstance(value, list | tuple) else (value,)
    if not values or len(set(values)) < len(values):
        checks.fail(
            f"`{name}` must be one name or several different ones", **{name: value}
        )
    for item in values:
        checks.choice(name, item, known)
    return values


def options(name, value, check):
    """Checks one value or several different ones by `check(name, value)`."""
    values = tuple(value) if isinstance(value, list | tuple) else (value,)
    if not values or len(set(values)) < len(values):
        checks.fail(
            f"`{name}` must be one value or several different ones", **{name: value}
        )
    return tuple(check(name, item) for item in values)


def flags(name, value):
    """Checks True, False, or both to choose from."""
    return options(name, value, checks.boolean)


def sample_int(hp, name, bounds):
    low, high = bounds
    return low if low == high else hp.Int(name, low, high)


def sample_float(hp, name, bounds, sampling="linear"):
    low, high = bounds
    return low if low == high else hp.Float(name, low, high, sampling=sampling)


def sample_name(hp, name, values):
    return values[0] if len(values) == 1 else hp.Choice(name, list(values))


def sample_flag(hp, name, values):
    return values[0] if len(values) == 1 else hp.Boolean(name, default=values[0])
