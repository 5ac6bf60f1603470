"""Numbers of which each element draws its own, given as a number or a range."""

from typing import Any

from keras_strategies._internal import checks


def checked_factor(
    name: str,
    value: Any,
    low: float | None = -1,
    high: float | None = 1,
    fix: str = "",
    low_open: bool = False,
) -> float | tuple[float, float]:
    """Checks a number or a pair, which it sorts."""
    options = {"low": low, "high": high, "low_open": low_open, "fix": fix}
    if not isinstance(value, list | tuple):
        return checks.real(name, value, **options)
    return tuple(sorted(checked_pair(name, value, **options)))


def checked_pair(name: str, value: Any, **options: Any) -> tuple[float, float]:
    """Checks a pair of numbers and preserves its order."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        fix = "Give a number or a pair (lower, upper)."
        checks.fail(f"`{name}` must have two numbers", fix=fix, **{name: value})
    return tuple(checks.real(name, v, **options) for v in value)


def symmetric(value: float | tuple[float, float]) -> tuple[float, float]:
    """Returns the range that a checked factor represents."""
    return value if isinstance(value, tuple) else (-abs(value), abs(value))


def constant(value: float | tuple[float, float]) -> tuple[float, float]:
    """Returns the range of a checked factor that as a number is the same for all."""
    return value if isinstance(value, tuple) else (value, value)
