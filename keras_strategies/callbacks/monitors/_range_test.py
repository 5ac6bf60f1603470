"""Curves of the learning-rate range test: smoothing and suggested rates.

The suggestions are those of fastai's `lr_find`: `valley`, `steep` and `minimum`.
"""

from collections.abc import Callable, Sequence

import numpy as np


def smooth(losses: Sequence[float], beta: float) -> np.ndarray:
    """Exponential moving average of losses with bias correction, as in Adam."""
    smoothed, average = [], 0.0
    for count, loss in enumerate(losses, start=1):
        average = beta * average + (1 - beta) * loss
        smoothed.append(average / (1 - beta**count))
    return np.array(smoothed)


def valley(rates: np.ndarray, losses: np.ndarray) -> int:
    """Index in the middle of the longest descent of the losses."""
    first, last = longest_descent(losses)
    return (first + last) // 2


def steepest(rates: np.ndarray, losses: np.ndarray) -> int:
    """Index where the loss falls fastest against the logarithm of the rate."""
    return int(np.argmin(np.gradient(losses, np.log(rates))))


def minimum(rates: np.ndarray, losses: np.ndarray) -> int:
    """Index of the rate next below a tenth of the one with the lowest loss."""
    tenth = rates[int(np.argmin(losses))] / 10
    return max(int(np.searchsorted(rates, tenth, side="right")) - 1, 0)


def longest_descent(losses: np.ndarray) -> tuple[int, int]:
    """First and last index of the longest strictly decreasing subsequence.

    Dynamic programming in O(n^2): `length[i]` is that of the longest subsequence that
    ends at `i`, `previous[i]` the index before `i` in it.
    """
    count = len(losses)
    length, previous = [1] * count, list(range(count))
    for i in range(count):
        for j in range(i):
            if losses[i] < losses[j] and length[j] + 1 > length[i]:
                length[i], previous[i] = length[j] + 1, j
    last = first = int(np.argmax(length))
    while previous[first] != first:
        first = previous[first]
    return first, last


METHODS: dict[str, Callable[[np.ndarray, np.ndarray], int]] = {
    "valley": valley,
    "steepest": steepest,
    "minimum": minimum,
}
