"""Initial centroids: the four methods of TFMOT, in NumPy.

Weights are sorted one-dimensional arrays throughout.
"""

from collections.abc import Callable

import numpy as np

# k-means++ draws its seeds from a sample of this size: more weights do not change
# where they fall.
_SAMPLE_SIZE = 100_000
_MAX_ITERATIONS = 30
# Quantiles of the lowest centroid: the smallest weight is often an outlier (TFMOT).
_LOWEST_QUANTILE = 0.01
_SEED = 9


def _linear(weights, n, rng):
    """Evenly spaced from the smallest to the largest weight."""
    return np.linspace(weights[0], weights[-1], n)


def _random(weights, n, rng):
    """Uniformly drawn between the smallest and the largest weight."""
    return np.sort(rng.uniform(weights[0], weights[-1], n))


def _density(weights, n, rng):
    """Evenly spaced quantiles of the weights."""
    return np.quantile(weights, np.linspace(_LOWEST_QUANTILE, 1.0, n))


def _plus_plus_seeds(weights, n, rng):
    """Draws weights with a probability proportional to their squared distance.

    The distance is that to the nearest seed so far, so that seeds lie far apart.

    Reference: Arthur and Vassilvitskii, "k-means++: the advantages of careful
    seeding" (2007).
    """
    if weights.size > _SAMPLE_SIZE:
        weights = np.sort(rng.choice(weights, _SAMPLE_SIZE, replace=False))
    seeds = [rng.choice(weights)]
    distances = np.square(weights - seeds[0])
    while len(seeds) < n:
        total = distances.sum()
        probabilities = distances / total if total > 0 else None
        seeds.append(rng.choice(weights, p=probabilities))
        distances = np.minimum(distances, np.square(weights - seeds[-1]))
    return np.sort(seeds)


def _kmeans(weights, n, rng):
    """k-means (Lloyd's algorithm) from k-means++ seeds.

    In one dimension the weights of a centroid are a run of the sorted weights, so
    cumulative sums give all means without a pass over the weights.
    """
    centroids = _plus_plus_seeds(weights, n, rng)
    sums = np.concatenate([[0.0], np.cumsum(weights)])
    for _ in range(_MAX_ITERATIONS):
        midpoints = 0.5 * (centroids[1:] + centroids[:-1])
        edges = np.searchsorted(weights, midpoints, side="right")
        edges = np.concatenate([[0], edges, [weights.size]])
        counts = np.diff(edges)
        means = np.diff(sums[edges]) / np.maximum(counts, 1)
        moved = np.where(counts > 0, means, centroids)
        if np.array_equal(moved, centroids):
            break
        centroids = moved
    return centroids


_METHODS: dict[str, Callable[..., np.ndarray]] = {
    "kmeans++": _kmeans,
    "linear": _linear,
    "density": _density,
    "random": _random,
}
NAMES = tuple(_METHODS)


def initial_centroids(weights: np.ndarray, n: int, init: str) -> np.ndarray:
    """`n` sorted centroids for the values in `weights`.

    Values that are `n` different ones or fewer, as after clustering, are their own
    centroids.
    """
    weights = np.sort(weights.reshape(-1).astype("float64"))
    is_first = np.concatenate([[True], np.diff(weights) > 0])
    if np.count_nonzero(is_first) <= n:
        distinct = weights[is_first]
        return np.pad(distinct, (0, n - distinct.size), mode="edge")
    # A fixed seed: the same weights always get the same centroids.
    return _METHODS[init](weights, n, np.random.default_rng(_SEED))


def initial_centroids_by_sign(weights: np.ndarray, n: int, init: str) -> np.ndarray:
    """Initial centroids of the nonzero weights, negative and positive separately.

    Each sign gets centroids in proportion to its number of weights, at least one.
    A centroid of both signs could lie near zero and would fill the zeros of pruning.
    """
    negative, positive = weights[weights < 0], weights[weights > 0]
    nonzero = negative.size + positive.size
    if nonzero == 0:
        return np.zeros(n)
    if n == 1 or not negative.size or not positive.size:
        return initial_centroids(weights[weights != 0], n, init)
    num_negative = int(np.clip(round(n * negative.size / nonzero), 1, n - 1))
    return np.concatenate(
        [
            initial_centroids(negative, num_negative, init),
            initial_centroids(positive, n - num_negative, init),
        ]
    )
