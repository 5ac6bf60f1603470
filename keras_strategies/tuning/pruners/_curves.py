"""What pruners compute from: the objective after each epoch of each trial."""

import math


def best_so_far(curve, direction):
    """Best finite value of a curve `{epoch: value}`, or the worst possible one."""
    values = [value for value in curve.values() if math.isfinite(value)]
    if not values:
        return -math.inf if direction == "max" else math.inf
    return max(values) if direction == "max" else min(values)


def is_worse(a, b, direction):
    return a < b if direction == "max" else a > b
