"""Combinations as vectors, and steps between them, for evolution and for models."""

import numpy as np
from keras_tuner.engine import hyperparameters as kinds

from keras_strategies.tuning._space import space as _space


def searched(space):
    """The hyperparameters that have more than one value."""
    return [hp for hp in space if not isinstance(hp, kinds.Fixed)]


def vector(space, values):
    """`values` as numbers in [0, 1]: ranges by position, names one by one.

    What is not active stands in the middle; what is a name has a column for each.
    """
    columns = []
    for hp in searched(space):
        active = hp.name in values and all(c.is_active(values) for c in hp.conditions)
        known = active and _space.is_legal(hp, values[hp.name])
        if _space.is_numeric(hp):
            columns.append(hp.value_to_prob(values[hp.name]) if known else 0.5)
        else:
            columns += [float(known and v == values[hp.name]) for v in hp.values]
    return np.array(columns)


def vectors(space, many):
    return np.array([vector(space, values) for values in many])


def mutated(space, values, rng, rate, scale):
    """A combination near `values`: at least one of its parts moves.

    Each part moves with probability `rate`: a range by a normal step of `scale` of its
    width, reflected at the ends, anything else to any other value. Parts that become
    active are drawn at random.
    """
    names = [hp.name for hp in searched(space) if hp.name in values]
    moving = {name for name in names if rng.random() < rate}
    if names and not moving:
        moving = {names[rng.integers(len(names))]}

    def value_of(hp):
        old = values.get(hp.name)
        if hp.name not in values or not _space.is_legal(hp, old):
            return hp.prob_to_value(rng.random())
        if hp.name not in moving or isinstance(hp, kinds.Fixed):
            return old
        if _space.is_numeric(hp):
            return _step(hp, old, rng, scale)
        others = [value for value in hp.values if value != old]
        return others[rng.integers(len(others))] if others else old

    return _space.fill(space, {}, value_of)


def _step(hp, old, rng, scale):
    position = hp.value_to_prob(old)
    for _ in range(8):  # a step too small for a stepped range is taken again, wider
        moved = abs(position + scale * rng.normal())
        moved = 1 - abs(1 - moved % 2)
        new = hp.prob_to_value(min(moved, 1 - 1e-9))
        if new != old:
            return new
        scale = min(1.0, 2 * scale)
    return old
