"""Where centroids start: TFMOT's four ways, in NumPy."""

import numpy as np

# More weights than these do not change where k-means++ seeds its centroids.
_SAMPLE = 100_000
_ROUNDS = 30


def _linear(weights, n, rng):
    return np.linspace(weights[0], weights[-1], n)


def _random(weights, n, rng):
    return np.sort(rng.uniform(weights[0], weights[-1], n))


def _density(weights, n, rng):
    return np.quantile(weights, np.linspace(0.01, 1.0, n))


def _seeds(weights, n, rng):
    """Draws weights, each with a probability of its squared distance to the rest."""
    if weights.size > _SAMPLE:
        weights = np.sort(rng.choice(weights, _SAMPLE, replace=False))
    seeds = [rng.choice(weights)]
    distances = np.square(weights - seeds[0])
    while len(seeds) < n:
        total = distances.sum()
        chance = distances / total if total > 0 else None
        seeds.append(rng.choice(weights, p=chance))
        distances = np.minimum(distances, np.square(weights - seeds[-1]))
    return np.sort(seeds)


def _kmeans(weights, n, rng):
    """Lloyd's rounds from k-means++ seeds; means by sums over sorted weights."""
    centroids = _seeds(weights, n, rng)
    sums = np.concatenate([[0.0], np.cumsum(weights)])
    for _ in range(_ROUNDS):
        middles = 0.5 * (centroids[1:] + centroids[:-1])
        edges = np.searchsorted(weights, middles, side="right")
        edges = np.concatenate([[0], edges, [weights.size]])
        counts = np.diff(edges)
        means = np.diff(sums[edges]) / np.maximum(counts, 1)
        moved = np.where(counts > 0, means, centroids)
        if np.array_equal(moved, centroids):
            break
        centroids = moved
    return centroids


_WAYS = {
    "kmeans++": _kmeans,
    "linear": _linear,
    "density": _density,
    "random": _random,
}
NAMES = tuple(_WAYS)


def initial(weights, n, init):
    """`n` sorted centroids for the values in `weights`.

    Values that are `n` different ones or fewer, as after clustering, are their own
    centroids.
    """
    weights = np.sort(weights.reshape(-1).astype("float64"))
    first = np.concatenate([[True], np.diff(weights) > 0])
    if np.count_nonzero(first) <= n:
        different = weights[first]
        return np.pad(different, (0, n - different.size), mode="edge")
    return _WAYS[init](weights, n, np.random.default_rng(9))


def initial_by_sign(weights, n, init):
    """Like `initial`, for the weights that are not zero: `n` split by their sign."""
    negative, positive = weights[weights < 0], weights[weights > 0]
    nonzero = negative.size + positive.size
    if nonzero == 0:
        return np.zeros(n)
    if n == 1 or not negative.size or not positive.size:
        return initial(weights[weights != 0], n, init)
    share = int(np.clip(round(n * negative.size / nonzero), 1, n - 1))
    parts = (initial(negative, share, init), initial(positive, n - share, init))
    return np.concatenate(parts)
