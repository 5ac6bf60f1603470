"""Curves of loss against learning rate: smoothing them and reading a rate off."""

import numpy as np


def smooth(losses, beta):
    """Exponential moving average of losses without bias towards its start."""
    smoothed, average = [], 0.0
    for count, loss in enumerate(losses, start=1):
        average = beta * average + (1 - beta) * loss
        smoothed.append(average / (1 - beta**count))
    return np.array(smoothed)


def valley(rates, losses):
    """Index in the middle of the longest descent of the losses."""
    first, last = longest_descent(losses)
    return (first + last) // 2


def steepest(rates, losses):
    """Index where the loss falls fastest against the logarithm of the rate."""
    return int(np.argmin(np.gradient(losses, np.log(rates))))


def minimum(rates, losses):
    """Index of the rate next below a tenth of the one with the lowest loss."""
    tenth = rates[int(np.argmin(losses))] / 10
    return max(int(np.searchsorted(rates, tenth, side="right")) - 1, 0)


def longest_descent(losses):
    """First and last index of the longest strictly decreasing subsequence."""
    count = len(losses)
    length, before = [1] * count, list(range(count))
    for i in range(count):
        for j in range(i):
            if losses[i] < losses[j] and length[j] + 1 > length[i]:
                length[i], before[i] = length[j] + 1, j
    last = first = int(np.argmax(length))
    while before[first] != first:
        first = before[first]
    return first, last


METHODS = {"valley": valley, "steepest": steepest, "minimum": minimum}
