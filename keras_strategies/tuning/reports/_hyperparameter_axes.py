"""Plot axes for hyperparameters: positions, ticks and inactive values."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from keras_tuner.engine import hyperparameters as kinds

from keras_strategies.tuning import _space
from keras_strategies.tuning.reports import _records


class NumericAxis:
    """An axis of numbers on a linear or log scale."""

    def __init__(
        self, name: str, low: float, high: float, log: bool, default: float | None
    ) -> None:
        self.name, self.low, self.high, self.log = name, low, high, log
        self.default = default
        self.is_integer = isinstance(low, int) and isinstance(high, int)

    def position(self, value: float) -> float:
        return math.log10(value) if self.log else float(value)

    def fraction(self, value: float) -> float:
        """The position between the ends, from 0 to 1."""
        low, high = self.position(self.low), self.position(self.high)
        return 0.5 if high == low else (self.position(value) - low) / (high - low)

    def tick_values(self) -> list[float]:
        """The ends and the middle."""
        if self.log:
            middle = math.sqrt(self.low * self.high)
        else:
            middle = (self.low + self.high) / 2
        if self.is_integer:
            middle = round(middle)
        return list(dict.fromkeys([self.low, middle, self.high]))

    def text(self, value: float) -> str:
        """A value as the label of a tick."""
        return str(value) if self.is_integer else f"{value:.3g}"

    def ticks(self) -> list[tuple[float, str]]:
        """Pairs of fraction and text for the ends and the middle."""
        return [(self.fraction(v), self.text(v)) for v in self.tick_values()]


class CategoricalAxis:
    """An axis of values without distances, evenly spaced."""

    log = False

    def __init__(self, name: str, values: list[Any], default: Any) -> None:
        self.name, self.values, self.default = name, values, default

    def position(self, value: Any) -> float:
        return float(next(k for k, v in enumerate(self.values) if _same(v, value)))

    def fraction(self, value: Any) -> float:
        """The position between the ends, from 0 to 1."""
        last = len(self.values) - 1
        return self.position(value) / last if last else 0.5

    def ticks(self) -> list[tuple[float, str]]:
        """Pairs of fraction and text of all values."""
        return [
            (self.fraction(value), _space.format_value(value)) for value in self.values
        ]


Axis: TypeAlias = NumericAxis | CategoricalAxis


def hyperparameter_axes(
    oracle: Any,
    rows: Sequence[Mapping[str, Any]],
    names: Iterable[str] | None = None,
    unseen: bool = False,
) -> list[Axis]:
    """The axes of the hyperparameters that were searched, or of those named.

    Args:
        oracle: The oracle, or a trial: both have the space.
        rows: Rows of trials, see `SearchReport`.
        names: Names of hyperparameters; `None` for all that were searched.
        unseen: Whether to return those that were active in none of `rows` too.
    """
    if names is None:
        names, named = _records.hyperparameter_names(oracle, rows), False
    else:
        named = True
    axes = []
    for name in names:
        seen = [row[f"value/{name}"] for row in rows if f"value/{name}" in row]
        hps = [hp for hp in oracle.hyperparameters.space if hp.name == name]
        if (seen or unseen) and (named or _varies(hps, seen)):
            axes.append(_axis(name, hps, seen))
    return axes


def _varies(hps: Sequence[kinds.HyperParameter], seen: Sequence[Any]) -> bool:
    if any(not isinstance(hp, kinds.Fixed) for hp in hps):
        return True
    return any(value != seen[0] for value in seen)


def _axis(name: str, hps: Sequence[Any], seen: list[Any]) -> Axis:
    """The axis of a name, which may be declared in several scopes."""
    default = _space.from_label(hps[0].default) if hps else seen[0]
    ranges = [hp for hp in hps if isinstance(hp, kinds.Float | kinds.Int)]
    if ranges and len(ranges) == len(hps) and all(map(is_number, seen)):
        # Values of an earlier run may be outside of a range that was narrowed.
        low = min([hp.min_value for hp in ranges] + seen)
        high = max([hp.max_value for hp in ranges] + seen)
        log = low > 0 and all(hp.sampling == "log" for hp in ranges)
        return NumericAxis(name, low, high, log, default)
    values: list[Any] = []
    for hp in hps:
        declared = [hp.value] if isinstance(hp, kinds.Fixed) else hp.values
        values += [_space.from_label(value) for value in declared]
    values += seen
    unique: list[Any] = []  # a list, as values need not be hashable
    for value in values:
        if not any(_same(value, distinct) for distinct in unique):
            unique.append(value)
    if all(map(is_number, unique)):
        unique.sort()
    return CategoricalAxis(name, unique, default)


def is_number(value: Any) -> bool:
    """Whether `value` is an integer or float, and not a boolean."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same(a: Any, b: Any) -> bool:
    """Equality in which True is not 1."""
    return a == b and isinstance(a, bool) == isinstance(b, bool)
