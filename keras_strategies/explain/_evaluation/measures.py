"""Measures of faithfulness on NumPy arrays, a number for each sample."""

import numpy as np


def area(curves: np.ndarray) -> np.ndarray:
    """Areas below curves over [0, 1], by the trapezoidal rule."""
    middle = (curves[:, 1:] + curves[:, :-1]) / 2
    return middle.mean(axis=1)


def ranks_of_positions(maps: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The place of each position, 0 for the most important; equal ones at random.

    `(samples, positions)` from maps of any shape. The order in which a map lists equal
    positions, as the zeros of a CAM, says nothing and must not count.
    """
    flat = maps.reshape(len(maps), -1)
    order = np.lexsort((random.random(flat.shape), -flat), axis=1)
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(flat.shape[1])[None], axis=1)
    return ranks


def infidelity(
    products: np.ndarray, differences: np.ndarray, scaled: bool = True
) -> np.ndarray:
    """`mean((b p - d)^2)`, relative to `mean(d^2)` if scaled.

    Args:
        products: `(samples, perturbations)`, the sums of perturbation times
            attribution.
        differences: The falls of the score by them.
        scaled: Whether `b` is the factor that fits each sample best, as a map has no
            unit; else 1 and the error is absolute.
    """
    if not scaled:
        return ((products - differences) ** 2).mean(axis=1)
    squares = (products**2).sum(axis=1)
    factors = (products * differences).sum(axis=1) / np.where(squares > 0, squares, 1)
    errors = ((factors[:, None] * products - differences) ** 2).mean(axis=1)
    total = (differences**2).mean(axis=1)
    return np.where(total > 0, errors / np.where(total > 0, total, 1), 0)


def rank_correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Spearman's correlation of the absolute values of two maps, for each sample.

    0 where a map is constant: it says nothing that could be alike.
    """
    from scipy.stats import rankdata

    ranks = [
        rankdata(np.abs(maps).reshape(len(maps), -1), axis=1)
        for maps in (first, second)
    ]
    a, b = (r - r.mean(axis=1, keepdims=True) for r in ranks)
    norms = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.where(norms > 0, (a * b).sum(axis=1) / np.where(norms > 0, norms, 1), 0)


def hits(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Whether the largest value of each map is in its mask.

    With several equal largest values, the share of them that is.
    """
    flat, inside = (x.reshape(len(x), -1) for x in (maps, masks))
    largest = flat == flat.max(axis=1, keepdims=True)
    return (largest & inside).sum(axis=1) / largest.sum(axis=1)
