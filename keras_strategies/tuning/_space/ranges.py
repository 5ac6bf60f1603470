"""Ranges as users write them, and their declaration in a search space.

A constructor argument of a hypermodel is one value, which is then fixed and not
in the space, or a pair `(low, high)` (numbers) or a tuple of names (choices).
`int_range`, `float_range`, `names`, `distinct` and `flags` check it and return a
tuple; a tuple of equal bounds or of one value is fixed. `sample_*` declare it and
return the value of a trial.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeAlias, TypeVar

import keras_tuner

from keras_strategies._internal import checks

T = TypeVar("T")
IntRange: TypeAlias = int | tuple[int, int] | Sequence[int]
FloatRange: TypeAlias = float | tuple[float, float] | Sequence[float]
Names: TypeAlias = str | Sequence[str]


def _pair(name: str, value: Any, check: Callable[[str, Any], T]) -> tuple[T, T]:
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
    number = check(name, value)
    return number, number


def int_range(name: str, value: Any, *, low: int) -> tuple[int, int]:
    """Checks an integer or a pair of integers that are at least `low`."""
    return _pair(name, value, lambda n, v: checks.integer(n, v, low=low))


def float_range(name: str, value: Any, **interval: Any) -> tuple[float, float]:
    """Checks a number or a pair of numbers; `interval` as in `checks.real`."""
    return _pair(name, value, lambda n, v: checks.real(n, v, **interval))


def positive_range(name: str, value: Any) -> tuple[float, float]:
    """Checks a number above 0 or a pair of such numbers."""
    return float_range(name, value, low=0, low_open=True)


def fraction_range(name: str, value: Any) -> tuple[float, float]:
    """Checks a number in [0, 1) or a pair of such numbers."""
    return float_range(name, value, low=0, high=1, high_open=True)


def names(name: str, value: Any, allowed: Collection[str]) -> tuple[str, ...]:
    """Checks one name or several different ones, each in `allowed`."""
    values = _one_or_several(name, value, "name")
    for item in values:
        checks.choice(name, item, allowed)
    return values


def distinct(name: str, value: Any, check: Callable[[str, Any], T]) -> tuple[T, ...]:
    """Checks one value or several different ones by `check(name, value)`."""
    values = _one_or_several(name, value, "value")
    return tuple(check(name, item) for item in values)


def _one_or_several(name: str, value: Any, kind: str) -> tuple[Any, ...]:
    values = tuple(value) if isinstance(value, list | tuple) else (value,)
    if not values or len(set(values)) < len(values):
        checks.fail(
            f"`{name}` must be one {kind} or several different ones", **{name: value}
        )
    return values


def flags(name: str, value: Any) -> tuple[bool, ...]:
    """Checks True, False, or both to choose from."""
    return distinct(name, value, checks.boolean)


def sample_int(
    hp: keras_tuner.HyperParameters, name: str, bounds: tuple[int, int]
) -> int:
    """Declares an integer range unless it is fixed; the value of this trial."""
    low, high = bounds
    return low if low == high else hp.Int(name, low, high)


def sample_float(
    hp: keras_tuner.HyperParameters,
    name: str,
    bounds: tuple[float, float],
    sampling: str = "linear",
) -> float:
    """Declares a range of numbers unless it is fixed; the value of this trial."""
    low, high = bounds
    return low if low == high else hp.Float(name, low, high, sampling=sampling)


def sample_choice(hp: keras_tuner.HyperParameters, name: str, values: Sequence[T]) -> T:
    """Declares a choice unless there is one value; the value of this trial."""
    return values[0] if len(values) == 1 else hp.Choice(name, list(values))


def sample_flag(
    hp: keras_tuner.HyperParameters, name: str, values: Sequence[bool]
) -> bool:
    """Declares a boolean unless it is fixed; the value of this trial."""
    return values[0] if len(values) == 1 else hp.Boolean(name, default=values[0])
