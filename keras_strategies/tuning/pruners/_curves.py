"""Curves of the objective over the epochs of a trial, as pruners compare them."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, TypeAlias

Direction: TypeAlias = Literal["min", "max"]
#: The objective after each epoch, which counts from 0.
Curve: TypeAlias = Mapping[int, float]


class Pruner(Protocol):
    """A rule that stops trials, for `Tuner(pruner=)`.

    Attributes:
        compares: The other trials whose curves `should_stop` gets: `"completed"`, those
            that trained to their end, or `"all"`, those under way too.
    """

    compares: Literal["completed", "all"]

    def should_stop(
        self, curve: Curve, others: Sequence[Curve], direction: Direction
    ) -> bool:
        """Whether a trial stops after the last epoch of `curve`."""
        ...


def best_so_far(curve: Curve, direction: Direction) -> float:
    """Best finite value of a curve, or the worst possible one if there is none."""
    values = [value for value in curve.values() if math.isfinite(value)]
    if not values:
        return -math.inf if direction == "max" else math.inf
    return max(values) if direction == "max" else min(values)


def is_worse(a: float, b: float, direction: Direction) -> bool:
    """Whether `a` is worse than `b`."""
    return a < b if direction == "max" else a > b
