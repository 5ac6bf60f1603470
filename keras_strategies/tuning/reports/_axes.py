"""Hyperparameters as axes: where a value lies, what stands beside it."""

import math

from keras_tuner.engine import hyperparameters as kinds

from keras_strategies.tuning._space import space as _space
from keras_strategies.tuning._space.text import number
from keras_strategies.tuning.reports import _records


class Numbers:
    """An axis of numbers, evenly spaced or on a log scale."""

    def __init__(self, name, low, high, log, default):
        self.name, self.low, self.high, self.log = name, low, high, log
        self.default = default
        self.whole = isinstance(low, int) and isinstance(high, int)

    def position(self, value):
        return math.log10(value) if self.log else float(value)

    def fraction(self, value):
        low, high = self.position(self.low), self.position(self.high)
        return 0.5 if high == low else (self.position(value) - low) / (high - low)

    def marks(self):
        """Pairs of fraction and text for the ends and the middle."""
        if self.log:
            middle = math.sqrt(self.low * self.high)
        else:
            middle = (self.low + self.high) / 2
        if not self.whole:
            found = [self.low, middle, self.high]
            return [(self.fraction(v), f"{v:.3g}") for v in dict.fromkeys(found)]
        found = [self.low, round(middle), self.high]
        return [(self.fraction(v), str(v)) for v in dict.fromkeys(found)]


class Labels:
    """An axis of values without distances, one beside the other."""

    log = False

    def __init__(self, name, values, default):
        self.name, self.values, self.default = name, values, default

    def position(self, value):
        return float(next(k for k, v in enumerate(self.values) if _same(v, value)))

    def fraction(self, value):
        last = len(self.values) - 1
        return self.position(value) / last if last else 0.5

    def marks(self):
        return [(self.fraction(value), number(value)) for value in self.values]


def dimensions(oracle, rows, names=None, unseen=False):
    """The axes of the hyperparameters, those that were searched unless named.

    With `unseen` also those that were active in none of `rows`. A trial can stand for
    the oracle: both have the space.
    """
    known = _records.value_names(oracle, rows)
    made = []
    for name in known if names is None else names:
        found = [row[f"value/{name}"] for row in rows if f"value/{name}" in row]
        hps = [hp for hp in oracle.hyperparameters.space if hp.name == name]
        if (found or unseen) and (names is not None or _varies(hps, found)):
            made.append(dimension(name, hps, found))
    return made


def _varies(hps, found):
    if any(not isinstance(hp, kinds.Fixed) for hp in hps):
        return True
    return any(value != found[0] for value in found)


def dimension(name, hps, found):
    default = _space.decode(hps[0].default) if hps else found[0]
    ranges = [hp for hp in hps if isinstance(hp, kinds.Float | kinds.Int)]
    if ranges and len(ranges) == len(hps) and all(map(is_number, found)):
        low = min([hp.min_value for hp in ranges] + found)
        high = max([hp.max_value for hp in ranges] + found)
        log = low > 0 and all(hp.sampling == "log" for hp in ranges)
        return Numbers(name, low, high, log, default)
    values = []
    for hp in hps:
        own = [hp.value] if isinstance(hp, kinds.Fixed) else hp.values
        values += [_space.decode(value) for value in own]
    values += found
    unique = []  # a list, as values need not be hashable
    for value in values:
        if not any(_same(value, other) for other in unique):
            unique.append(value)
    if all(map(is_number, unique)):
        unique.sort()
    return Labels(name, unique, default)


def is_number(value):
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same(a, b):
    """Equality in which True is not 1."""
    return a == b and isinstance(a, bool) == isinstance(b, bool)
