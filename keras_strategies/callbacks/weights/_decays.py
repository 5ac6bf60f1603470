"""Decays of exponential averages over several steps."""

import warnings
from collections.abc import Callable

#: `(steps before, steps)` -> product of the decays of these steps.
DecayOver = Callable[[int, int], float]


def decay_over(decay: float, warmup: bool) -> DecayOver:
    """Returns the function with the product of the decays of steps after others."""

    def product(before: int, steps: int) -> float:
        result = 1.0
        for t in range(before + 1, before + steps + 1):
            result *= min(decay, (1 + t) / (10 + t)) if warmup else decay
        return result

    return product


def weights_of_steps(
    over: DecayOver, start: int, count: int, averaged: int, steps: int, frequency: int
) -> list[float]:
    """Returns by how much averages move after each step of a program.

    Args:
        over: What `decay_over` returned.
        start: Number of the first of these batches in the epoch.
        count: Number of steps. The last one is left to the hook after it.
        averaged: Batches of the epoch that are part of the averages.
        steps: All steps that are.
        frequency: Steps from one update to the next.
    """
    weights = [0.0] * count
    for index in range(count - 1):
        pending = start + index + 1 - averaged
        if pending >= frequency:
            weights[index] = 1.0 - over(steps, pending)
            averaged, steps = averaged + pending, steps + pending
    return weights


def warn_of_no_average(start_epoch: int) -> None:
    """Warns that a training ended before anything was averaged."""
    warnings.warn(
        "WeightAveraging has averaged nothing: the training ended before "
        f"`start_epoch`={start_epoch}.",
        stacklevel=3,
    )
