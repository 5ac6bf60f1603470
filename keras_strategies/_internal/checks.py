"""Argument checks with one message form: rule, what was received, the fix.

Every function returns the checked value, so that `__init__` reads
`self.rate = checks.real("rate", rate, low=0, high=1, high_open=True)`.
"""

import numbers
import re
from collections.abc import Collection, Mapping
from typing import Any, Literal, NoReturn, TypeVar, overload

_T = TypeVar("_T")


def message(rule: str, received: Mapping[str, Any], fix: str = "") -> str:
    """Builds "rule. Received: name=value. fix"."""
    values = ", ".join(f"{name}={value!r}" for name, value in received.items())
    text = f"{rule}. Received: {values}." if values else f"{rule}."
    return f"{text} {fix}" if fix else text


def fail(
    rule: str,
    *,
    fix: str = "",
    error: type[Exception] = ValueError,
    **received: Any,
) -> NoReturn:
    """Raises `error` with the common message form."""
    raise error(message(rule, received, fix))


def _interval(
    low: float | None, high: float | None, low_open: bool, high_open: bool
) -> str:
    if low is None and high is None:
        return "finite"
    if high is None:
        return f"{'greater than' if low_open else 'at least'} {low}"
    if low is None:
        return f"{'less than' if high_open else 'at most'} {high}"
    opening, closing = "(" if low_open else "[", ")" if high_open else "]"
    return f"in {opening}{low}, {high}{closing}"


def _inside(
    value: float,
    low: float | None,
    high: float | None,
    low_open: bool,
    high_open: bool,
) -> bool:
    if value != value or value in (float("inf"), float("-inf")):
        return False
    if low is not None and (value < low or (low_open and value == low)):
        return False
    return not (high is not None and (value > high or (high_open and value == high)))


@overload
def real(
    name: str,
    value: Any,
    *,
    low: float | None = None,
    high: float | None = None,
    low_open: bool = False,
    high_open: bool = False,
    optional: Literal[False] = False,
    fix: str = "",
) -> float: ...


@overload
def real(
    name: str,
    value: Any,
    *,
    low: float | None = None,
    high: float | None = None,
    low_open: bool = False,
    high_open: bool = False,
    optional: bool,
    fix: str = "",
) -> float | None: ...


def real(
    name: str,
    value: Any,
    *,
    low: float | None = None,
    high: float | None = None,
    low_open: bool = False,
    high_open: bool = False,
    optional: bool = False,
    fix: str = "",
) -> float | None:
    """Checks a finite real number in an interval and returns it as `float`.

    With `optional=True`, `None` is accepted and returned.
    """
    if value is None and optional:
        return None
    interval = _interval(low, high, low_open, high_open)
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        fail(
            f"`{name}` must be a number ({interval})",
            fix=fix,
            error=TypeError,
            **{name: value},
        )
    if not _inside(value, low, high, low_open, high_open):
        fail(f"`{name}` must be {interval}", fix=fix, **{name: value})
    return float(value)


@overload
def integer(
    name: str,
    value: Any,
    *,
    low: int | None = None,
    high: int | None = None,
    optional: Literal[False] = False,
    fix: str = "",
) -> int: ...


@overload
def integer(
    name: str,
    value: Any,
    *,
    low: int | None = None,
    high: int | None = None,
    optional: bool,
    fix: str = "",
) -> int | None: ...


def integer(
    name: str,
    value: Any,
    *,
    low: int | None = None,
    high: int | None = None,
    optional: bool = False,
    fix: str = "",
) -> int | None:
    """Checks an integer in `[low, high]` and returns it as `int`."""
    if value is None and optional:
        return None
    bounded = (low, high) != (None, None)
    interval = _interval(low, high, False, False) if bounded else ""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        rule = f"`{name}` must be an integer" + (f" {interval}" if interval else "")
        fail(rule, fix=fix, error=TypeError, **{name: value})
    if not _inside(value, low, high, False, False):
        fail(f"`{name}` must be an integer {interval}", fix=fix, **{name: value})
    return int(value)


def choice(name: str, value: _T, choices: Collection[Any], *, fix: str = "") -> _T:
    """Checks that `value` is one of `choices` (compared by equality)."""
    if value not in choices:
        options = ", ".join(repr(option) for option in choices)
        fail(f"`{name}` must be one of {options}", fix=fix, **{name: value})
    return value


def boolean(name: str, value: Any, *, fix: str = "") -> bool:
    """Checks a real `bool`, not something truthy."""
    if not isinstance(value, bool):
        fail(
            f"`{name}` must be True or False", fix=fix, error=TypeError, **{name: value}
        )
    return value


def callable_or_none(name: str, value: Any, *, fix: str = "") -> Any:
    """Checks a function, or `None`."""
    if value is not None and not callable(value):
        fail(
            f"`{name}` must be a function or None",
            fix=fix,
            error=TypeError,
            **{name: value},
        )
    return value


@overload
def instance(
    name: str,
    value: Any,
    kinds: type[_T],
    *,
    optional: Literal[False] = False,
    fix: str = "",
) -> _T: ...


@overload
def instance(
    name: str, value: Any, kinds: type[_T], *, optional: bool, fix: str = ""
) -> _T | None: ...


@overload
def instance(
    name: str,
    value: Any,
    kinds: tuple[type, ...],
    *,
    optional: bool = False,
    fix: str = "",
) -> Any: ...


def instance(
    name: str,
    value: Any,
    kinds: type | tuple[type, ...],
    *,
    optional: bool = False,
    fix: str = "",
) -> Any:
    """Checks `isinstance(value, kinds)`; `kinds` is a class or a tuple."""
    if value is None and optional:
        return value
    if not isinstance(value, kinds):
        classes = kinds if isinstance(kinds, tuple) else (kinds,)
        names = " or ".join(cls.__name__ for cls in classes)
        fail(f"`{name}` must be a {names}", fix=fix, error=TypeError, **{name: value})
    return value


def pattern(
    name: str,
    value: str | None,
    *,
    optional: bool = False,
    fix: str = "Give a regular expression.",
) -> re.Pattern[str]:
    """Checks a regular expression and returns it compiled; `None` matches all."""
    instance(name, value, str, optional=optional, fix=fix)
    if value is None:
        return re.compile("")
    try:
        return re.compile(value)
    except re.error as error:
        rule = f"`{name}` must be a valid regular expression ({error})"
        raise ValueError(message(rule, {name: value})) from error
