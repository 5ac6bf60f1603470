"""Encoding of combinations as vectors, and mutation, for models and evolution."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras_tuner.engine import hyperparameters as kinds

from keras_strategies.tuning._space.hyperparameter import (
    is_active,
    is_legal,
    is_numeric,
)
from keras_strategies.tuning._space.values import Values, fill, searched


def encode(
    space: Sequence[kinds.HyperParameter],
    values: Mapping[str, Any],
    legal: bool = False,
) -> np.ndarray:
    """Returns `values` as numbers in [0, 1].

    A range has one column, the position of its value (on a log scale that of the
    logarithm), and 0.5 where it is not active. A choice is one-hot encoded, all zeros
    where it is not active, so that its values are equally far apart. `legal` says that
    the values were made from this space and need not be looked at.
    """
    columns: list[float] = []
    for hp in searched(space):
        has_value = (
            hp.name in values
            and (not hp.conditions or is_active(hp, values))
            and (legal or is_legal(hp, values[hp.name]))
        )
        if is_numeric(hp):
            columns.append(hp.value_to_prob(values[hp.name]) if has_value else 0.5)
        else:
            columns += [float(has_value and v == values[hp.name]) for v in hp.values]
    return np.array(columns)


def encode_all(
    space: Sequence[kinds.HyperParameter],
    combinations: Sequence[Mapping[str, Any]],
    legal: bool = False,
) -> np.ndarray:
    """Returns one row for each combination, as `encode` gives them."""
    return np.array([encode(space, values, legal) for values in combinations])


def column_groups(space: Sequence[kinds.HyperParameter]) -> list[int]:
    """Returns for each column of `encode` the number of its hyperparameter."""
    widths = [1 if is_numeric(hp) else len(hp.values) for hp in searched(space)]
    return [number for number, width in enumerate(widths) for _ in range(width)]


def mutate(
    space: Sequence[kinds.HyperParameter],
    values: Mapping[str, Any],
    rng: np.random.Generator,
    rate: float,
    scale: float,
) -> Values:
    """Returns a combination near `values`: at least one of its values differs.

    Args:
        space: The hyperparameters, parents before what depends on them.
        values: The combination to start from.
        rng: Source of random numbers.
        rate: Probability with which each value changes.
        scale: Standard deviation of the step of a number, as a fraction of its range;
            a step over an end is reflected there. Anything else changes to any of its
            other values. What becomes active is drawn at random.
    """
    # At least one value changes, so that the child is not its parent.
    names = [hp.name for hp in searched(space) if hp.name in values]
    changing = {name for name in names if rng.random() < rate}
    if names and not changing:
        changing = {names[rng.integers(len(names))]}

    def value_of(hp: Any) -> Any:
        previous = values.get(hp.name)
        if hp.name not in values or not is_legal(hp, previous):
            return hp.prob_to_value(rng.random())
        if hp.name not in changing or isinstance(hp, kinds.Fixed):
            return previous
        if is_numeric(hp):
            return _step(hp, previous, rng, scale)
        alternatives = [value for value in hp.values if value != previous]
        if not alternatives:
            return previous
        return alternatives[rng.integers(len(alternatives))]

    return fill(space, {}, value_of)


def _step(hp: Any, previous: Any, rng: np.random.Generator, scale: float) -> Any:
    position = hp.value_to_prob(previous)
    # In a stepped range a step may be too small to change the value: it is repeated
    # with twice the width, up to the whole range.
    for _ in range(8):
        moved = abs(position + scale * rng.normal())
        moved = 1 - abs(1 - moved % 2)  # reflected at 0 and 1
        value = hp.prob_to_value(min(moved, 1 - 1e-9))
        if value != previous:
            return value
        scale = min(1.0, 2 * scale)
    return previous
