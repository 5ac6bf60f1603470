"""Bounds of a group-sequential paired t test, by alpha spending.

A study looks at its differences several times and stops when they decide. Each look
is a chance to be wrong, so each may spend only a part of the error rate: at `n` of
`N` pairs, `alpha * n / N` has been spent (Lan and DeMets, with a linear spending
function). The bound of a look is the value that |t| exceeds with the probability that
the look may spend, among the studies that no earlier look has stopped.

Bounds of a known variance, turned into quantiles of t, let 5.3 to 5.6 % of null
studies through. These here are those of the t statistic itself. Under the null
hypothesis, with differences `x_1 ... x_n` that are normal around 0, the angle between
`(x_1 ... x_n)` and `(1 ... 1)` does not depend on the length of the vector, and

    u = sum(x) / sqrt(sum(x^2)) = sqrt(n) sin(theta),    t = sqrt(n - 1) tan(theta)

is a Markov chain: one more difference rotates it, `u' = u cos(phi) + sin(phi)` with a
density of `phi` in proportion to `cos(phi)^(n - 1)`. So the distribution of `theta`
among the studies still running is carried from look to look on a grid, without random
numbers, for any looks and levels.

From some dozens of differences on, one more turns the vector by less than a cell of
the grid, so that many are added at once. Of `k` new ones, the part at a right angle to
`(1 ... 1)` only makes the vector longer, by a factor whose inverse square is a beta
variable `b` of `n / 2` and `(k - 1) / 2`; then the part along it rotates it:

    u' = u sqrt(b) cos(phi) + sqrt(k) sin(phi),    phi as above with n + k - 1 for n

Reference:

- Lan and DeMets, 1983, [Discrete sequential boundaries for clinical
  trials](https://doi.org/10.1093/biomet/70.3.659)
"""

import functools
from collections.abc import Sequence

import numpy as np

_CELLS = 480
# Differences are added one by one below this number, all of a look at once from it on.
_SINGLE_BELOW = 20
_NODES = 16
_LEVELS = np.geomspace(1e-8, 0.999, 80)


@functools.lru_cache(maxsize=32)
def spending_bounds(looks: tuple[int, ...], sides: int = 2) -> "SpendingBounds":
    """The bounds of a design; each is computed once a process."""
    return SpendingBounds(looks, sides)


def looks_of(first: int, last: int, growth: float = 1.4) -> tuple[int, ...]:
    """Numbers of pairs to look at, each about `growth` times the one before.

    From 5 to 20 these are 5, 7, 10, 14 and 20: early looks save most, and many looks
    cost power.
    """
    looks = [first]
    while looks[-1] < last:
        following = max(looks[-1] + 1, round(looks[-1] * growth))
        # A last step of a pair or two is not worth a look of its own.
        looks.append(last if last - following < 0.2 * following else following)
    return tuple(looks)


class SpendingBounds:
    """Bounds on |t| (or on t, one-sided) at each look, for any error rate.

    Args:
        looks: Numbers of pairs at the looks, increasing, the first at least 3.
        sides: 2 to bound |t|, 1 to bound t from above.
    """

    def __init__(self, looks: Sequence[int], sides: int = 2):
        self.looks: tuple[int, ...] = tuple(looks)
        self.sides = sides
        self._table = _solve(self.looks, _LEVELS, sides)

    def at(self, level: float) -> np.ndarray:
        """The bounds of all looks for the error rate `level`."""
        position = np.log(level)
        grid = np.log(_LEVELS)
        return np.array([np.interp(position, grid, row) for row in self._table.T])

    def bound(self, look: int, level: float, pairs: int | None = None) -> float:
        """The bound of one look, where only `pairs` differences may have been had."""
        row = self._row(look, pairs)
        return float(np.interp(np.log(level), np.log(_LEVELS), row))

    def p_value(
        self,
        look: int,
        distance: float,
        variance: float,
        fixed_variance: float = 0.0,
        pairs: int | None = None,
    ) -> float:
        """The smallest error rate at which `distance` from 0 is beyond the bound.

        Beyond is `distance^2 >= bound^2 * variance + z^2 * fixed_variance`: what is
        estimated from the pairs is judged by t, and what no further pair can change,
        the sampling of the test set, by the normal quantile `z`.
        """
        from scipy import stats

        z = stats.norm.isf(_LEVELS / self.sides)
        squares = np.maximum(self._row(look, pairs), 0) ** 2 * variance
        squares = squares + np.maximum(z, 0) ** 2 * fixed_variance
        if distance <= 0 and self.sides == 1:
            return 1.0
        if distance**2 < squares[-1] or distance == 0:
            return 1.0
        # Squares fall as the level grows.
        found = np.interp(-(distance**2), -squares, np.log(_LEVELS))
        return float(np.exp(found))

    def _row(self, look, pairs):
        """Bounds of one look for all levels of the grid.

        A pair that failed leaves fewer degrees of freedom than the bound was made
        for: the same tail probability at these.
        """
        from scipy import stats

        row, planned = self._table[:, look], self.looks[look]
        if pairs is None or pairs == planned:
            return row
        return stats.t.isf(stats.t.sf(row, planned - 1), pairs - 1)


def _solve(looks, levels, sides):
    """Bounds as an array of shape (levels, looks)."""
    from scipy import stats

    edges = _edges(looks[-1])
    pairs, last = looks[0], looks[-1]
    below = stats.t.cdf(np.tan(edges) * np.sqrt(pairs - 1), pairs - 1)
    below[0], below[-1] = 0, 1
    mass = np.tile(np.diff(below), (len(levels), 1))
    table, spent = [], np.zeros(len(levels))
    for look in looks:
        while pairs < look:
            added = 1 if pairs < _SINGLE_BELOW else look - pairs
            mass = mass @ _transition(pairs, added, edges)
            pairs += added
        due = levels * look / last
        angles = _angles(mass, edges, due - spent, sides)
        mass = mass * _inside(edges, angles, sides)
        spent = due
        table.append(np.tan(angles) * np.sqrt(look - 1))
    return np.array(table).T


def _edges(last):
    """Edges of the cells: narrower around 0 where `theta` ends up there."""
    positions = np.linspace(-1, 1, _CELLS + 1)
    power = 1.0 if last <= 2 * _SINGLE_BELOW else 2.0
    return np.pi / 2 * np.sign(positions) * np.abs(positions) ** power


@functools.lru_cache(maxsize=64)
def _rotation_cdf(n):
    """Values of the distribution function of `phi` on a fine grid."""
    from scipy import special

    angles = np.linspace(-np.pi / 2, np.pi / 2, 20_001)
    sine = np.sin(angles)
    return angles, 0.5 + 0.5 * np.sign(sine) * special.betainc(0.5, n / 2, sine**2)


def _transition(n, added, edges):
    """Probabilities to move from each cell of `theta` at n pairs to each at more."""
    from scipy import stats

    if added == 1:
        return _rotation(n, n + 1, 1.0, edges)
    # Nodes of equal probability.
    places = (np.arange(_NODES) + 0.5) / _NODES
    lengths = np.sqrt(stats.beta.ppf(places, n / 2, (added - 1) / 2))
    moves = (_rotation(n, n + added, length, edges) for length in lengths)
    return sum(moves) / _NODES


def _rotation(n, after, length, edges):
    """The same with u shrunk by a factor before the rotation."""
    grid, values = _rotation_cdf(after - 1)
    along = np.sqrt(after - n)

    def cdf(angles):
        return np.interp(angles, grid, values, left=0.0, right=1.0)

    middles = (edges[1:] + edges[:-1]) / 2
    u = length * np.sqrt(n) * np.sin(middles)[:, np.newaxis]
    bounds = np.sqrt(after) * np.sin(edges)[np.newaxis]
    # u cos(phi) + a sin(phi) = radius * sin(phi + shift), which is at most a bound in
    # [-pi - crossing, crossing] and from pi - crossing on.
    radius, shift = np.sqrt(along**2 + u**2), np.arctan2(u, along)
    crossing = np.arcsin(np.clip(bounds / radius, -1, 1))
    below = cdf(crossing - shift) - cdf(-np.pi - crossing - shift)
    below = below + 1 - cdf(np.pi - crossing - shift)
    below[:, 0], below[:, -1] = 0, 1
    return np.diff(below, axis=1)


def _angles(mass, edges, probabilities, sides):
    """The angle that is exceeded with each of the probabilities, a row each."""
    if sides == 2:
        middle = len(edges) // 2
        mass = (mass + mass[:, ::-1])[:, middle:]
        edges = edges[middle:]
    beyond = np.cumsum(mass[:, ::-1], axis=1)[:, ::-1]
    beyond = np.concatenate([beyond, np.zeros((len(mass), 1))], axis=1)
    rows = zip(probabilities, beyond, strict=True)
    return np.array([np.interp(-p, -row, edges) for p, row in rows])


def _inside(edges, angles, sides):
    """Which part of each cell is inside the bounds."""
    width = np.diff(edges)
    angles = angles[:, np.newaxis]
    inside = np.clip((angles - edges[:-1]) / width, 0, 1)
    if sides == 2:
        inside = inside * np.clip((edges[1:] + angles) / width, 0, 1)
    return inside
