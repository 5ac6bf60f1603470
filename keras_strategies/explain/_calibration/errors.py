"""Calibration errors and proper scores, on NumPy arrays."""

import numpy as np

TINY = 1e-12


def probabilities(logits: np.ndarray, kind: str) -> np.ndarray:
    """Softmax along the last axis, or the logistic function for `"sigmoid"`."""
    from scipy import special

    if kind == "softmax":
        return special.softmax(logits, axis=-1)
    return special.expit(logits)


def edges(confidences: np.ndarray, bins: int, strategy: str) -> np.ndarray:
    """Edges of bins of equal width, or with equally many confidences."""
    if strategy == "uniform":
        return np.linspace(0, 1, bins + 1)
    inner = np.quantile(confidences, np.linspace(0, 1, bins + 1)[1:-1])
    return np.unique(np.concatenate([[0.0], inner, [1.0]]))


def bin_numbers(confidences: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """The bin of each confidence; a bin has its upper edge, as in scikit-learn."""
    return np.clip(
        np.searchsorted(limits[1:-1], confidences, side="left"), 0, len(limits) - 2
    )


def sums(
    confidences: np.ndarray, outcomes: np.ndarray, numbers: np.ndarray, bins: int
) -> np.ndarray:
    """Count, sum of confidences and of outcomes of each bin, `(3, bins)`."""
    return np.stack(
        [
            np.bincount(numbers, weights=weights, minlength=bins)
            for weights in (np.ones_like(confidences), confidences, outcomes)
        ]
    )


def expected_error(totals: np.ndarray) -> float:
    """`sum over the bins of n_b / n |outcomes_b - confidences_b|`."""
    return float(np.abs(totals[2] - totals[1]).sum() / totals[0].sum())


def bootstrap(
    confidences: np.ndarray,
    outcomes: np.ndarray,
    numbers: np.ndarray,
    bins: int,
    resamples: int,
    random: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Errors of resampled data, and of data for which the confidences were right.

    Only sums by bin count: the differences of the samples of each bin are drawn with
    replacement by a multinomial over the samples.
    """
    count = len(confidences)
    drawn, calibrated = np.empty(resamples), np.empty(resamples)
    gaps = outcomes - confidences
    for index in range(resamples):
        rows = random.integers(0, count, count)
        totals = np.bincount(numbers[rows], weights=gaps[rows], minlength=bins)
        drawn[index] = np.abs(totals).sum() / count
        right = (random.random(count) < confidences) - confidences
        totals = np.bincount(numbers, weights=right, minlength=bins)
        calibrated[index] = np.abs(totals).sum() / count
    return drawn, calibrated


def log_loss(probabilities: np.ndarray, labels: np.ndarray, kind: str) -> float:
    """Mean negative log-likelihood of a sample, over labels for `"sigmoid"`."""
    clipped = np.clip(probabilities, TINY, 1 - TINY)
    if kind == "softmax":
        return float(-np.log(clipped[np.arange(len(labels)), labels]).mean())
    losses = labels * np.log(clipped) + (1 - labels) * np.log(1 - clipped)
    return float(-losses.mean())


def brier_score(probabilities: np.ndarray, labels: np.ndarray, kind: str) -> float:
    """Mean squared error of the probabilities, summed over the classes for softmax."""
    if kind == "softmax":
        labels = np.eye(probabilities.shape[1])[labels]
        return float(((probabilities - labels) ** 2).sum(axis=1).mean())
    return float(((probabilities - labels) ** 2).mean())
