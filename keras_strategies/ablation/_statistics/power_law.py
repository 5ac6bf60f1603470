"""A power law with an offset through scores by training-set size.

```
score(n) = limit -+ factor * n ** -exponent
```

The interval of an extrapolation is the hull of two that are each too narrow alone,
found by simulation on curves with known truth: a bootstrap over sizes and seeds, which
knows that noise differs between sizes, and a parametric one with the residual variance
drawn from its own distribution, which knows that few points fix a curve badly.

Reference:

- [Hestness et al., 2017, Deep Learning Scaling is Predictable,
  Empirically](https://arxiv.org/abs/1712.00409)
"""

from typing import NamedTuple

import numpy as np

_EXPONENTS = np.concatenate([np.geomspace(0.05, 3.0, 60)])
_RESAMPLES = 400
_FEWEST_SIZES = 3


class PowerLaw(NamedTuple):
    """`limit + sign * factor * n ** -exponent`; the sign is -1 if more is better."""

    limit: float
    factor: float
    exponent: float
    sign: int

    def __call__(self, sizes: np.ndarray | float) -> np.ndarray:
        powers = np.asarray(sizes, float) ** -self.exponent
        return self.limit + self.sign * self.factor * powers


def fit(
    sizes: np.ndarray, scores: np.ndarray, sign: int, best: float | None
) -> PowerLaw:
    """The least-squares curve that gets no worse with more data.

    Args:
        sizes: Training-set size of each score.
        scores: The scores.
        sign: 1 for a score that falls with more data (a loss), -1 for one that rises.
        best: The best possible score, or `None`.
    """
    from scipy import optimize

    # As a loss: `level + factor * size ** -exponent` with a factor of at least 0.
    losses = sign * np.asarray(scores, float)
    floor = -np.inf if best is None else sign * best
    levels, factors, exponents = _solve(
        np.asarray(sizes, float)[np.newaxis], losses[np.newaxis], floor
    )
    start = np.array([levels[0], factors[0], exponents[0]])

    def residuals(values):
        level, factor, exponent = values
        return level + factor * sizes**-exponent - losses

    low = np.array([floor, 0.0, _EXPONENTS[0]])
    high = np.array([np.inf, np.inf, _EXPONENTS[-1]])
    # The grid's exponent is refined; where that fails, its own cost is the smaller one.
    found = optimize.least_squares(
        residuals,
        np.clip(start, low, high),
        bounds=(low - 1e-12, high + 1e-12),
        x_scale=np.maximum(np.abs(start), 1e-6),
    )
    level, factor, exponent = (
        found.x if found.cost <= _cost(residuals, start) else start
    )
    return PowerLaw(float(sign * level), float(factor), float(exponent), sign)


def _cost(residuals, values):
    return 0.5 * float(np.sum(residuals(values) ** 2))


def _solve(sizes, losses, floor):
    """Least squares for many data sets at once, by a grid over the exponent.

    For a given exponent the curve is linear in the other two; `sizes` and `losses`
    have the shape (sets, points).
    """
    best_cost = np.full(len(losses), np.inf)
    best = [np.zeros(len(losses)) for _ in range(3)]
    mean_loss = losses.mean(axis=1, keepdims=True)
    for exponent in _EXPONENTS:
        powers = sizes**-exponent
        mean_power = powers.mean(axis=1, keepdims=True)
        spread = ((powers - mean_power) ** 2).sum(axis=1)
        covariance = ((powers - mean_power) * (losses - mean_loss)).sum(axis=1)
        factors = np.maximum(covariance / np.maximum(spread, 1e-300), 0)
        levels = mean_loss[:, 0] - factors * mean_power[:, 0]
        # A level below the floor moves to it, and the factor follows.
        low = levels < floor
        at_floor = ((losses - floor) * powers).sum(axis=1) / (powers**2).sum(axis=1)
        with np.errstate(invalid="ignore"):
            factors = np.where(low, np.maximum(at_floor, 0), factors)
        levels = np.where(low, floor, levels)
        fitted = levels[:, np.newaxis] + factors[:, np.newaxis] * powers
        cost = ((fitted - losses) ** 2).sum(axis=1)
        better = cost < best_cost
        best_cost = np.where(better, cost, best_cost)
        for store, values in zip(best, (levels, factors, exponent), strict=True):
            store[better] = np.broadcast_to(values, len(losses))[better]
    return best


class Forecast(NamedTuple):
    """Scores at sizes beyond the data, and what they gain on the largest size.

    Attributes:
        low, middle, high: The score at each size.
        gain_low, gain_middle, gain_high: Its gain; more than 0 is better.
    """

    low: np.ndarray
    middle: np.ndarray
    high: np.ndarray
    gain_low: np.ndarray
    gain_middle: np.ndarray
    gain_high: np.ndarray


def forecast(
    sizes: np.ndarray,
    scores: np.ndarray,
    targets: np.ndarray,
    sign: int,
    best: float | None,
    seed: int,
    level: float = 0.05,
) -> Forecast:
    """Extrapolates to `targets` with intervals; see the text of this module.

    Args:
        sizes: Sizes, shape `(k,)`.
        scores: Scores, shape `(k, seeds)`.
        targets: Sizes to extrapolate to.
        sign: See `fit`.
        best: See `fit`.
        seed: Seed of the resampling.
        level: Error rate of each interval.
    """
    rng = np.random.default_rng([seed, 3])
    points = np.repeat(sizes, scores.shape[1]).astype(float)
    curve = fit(points, scores.reshape(-1), sign, best)
    where = np.concatenate([[sizes.max()], targets]).astype(float)
    draws = [
        _resampled(sizes, scores, where, sign, best, rng),
        _simulated(curve, points, scores, where, sign, best, rng),
    ]
    middle = curve(where)
    gains = [sign * (draw[:, :1] - draw[:, 1:]) for draw in draws]
    low, high = _hull([draw[:, 1:] for draw in draws], level)
    gain_low, gain_high = _hull(gains, level)
    return Forecast(
        low, middle[1:], high, gain_low, sign * (middle[0] - middle[1:]), gain_high
    )


def _hull(draws, level):
    """The lowest and the highest end of the percentile intervals."""
    ends = [np.quantile(draw, (level / 2, 1 - level / 2), axis=0) for draw in draws]
    return np.min([e[0] for e in ends], axis=0), np.max([e[1] for e in ends], axis=0)


def _predicted(sizes, losses, where, sign, floor):
    levels, factors, exponents = _solve(sizes, losses, floor)
    powers = where[np.newaxis] ** -exponents[:, np.newaxis]
    return sign * (levels[:, np.newaxis] + factors[:, np.newaxis] * powers)


def _resampled(sizes, scores, where, sign, best, rng):
    """Predictions from sizes and seeds drawn with replacement."""
    count, seeds = scores.shape
    drawn_sizes, drawn_scores = [], []
    while len(drawn_sizes) < _RESAMPLES:
        rows = rng.integers(count, size=count)
        # Fewer sizes than parameters fix no curve.
        if len(np.unique(rows)) < min(_FEWEST_SIZES, count):
            continue
        columns = rng.integers(seeds, size=(count, seeds))
        drawn_sizes.append(np.repeat(sizes[rows], seeds).astype(float))
        drawn_scores.append(scores[rows[:, np.newaxis], columns].reshape(-1))
    floor = -np.inf if best is None else sign * best
    losses = sign * np.array(drawn_scores)
    return _predicted(np.array(drawn_sizes), losses, where, sign, floor)


def _simulated(curve, points, scores, where, sign, best, rng):
    """Predictions from scores drawn around the curve."""
    fitted = curve(points)
    # Three parameters were fitted. The variance is drawn too: that of few points is not
    # known.
    freedom = max(1, len(points) - 3)
    squares = float(((scores.reshape(-1) - fitted) ** 2).sum())
    deviations = np.sqrt(squares / rng.chisquare(freedom, size=(_RESAMPLES, 1)))
    noise = rng.normal(size=(_RESAMPLES, len(points))) * deviations
    floor = -np.inf if best is None else sign * best
    sizes = np.broadcast_to(points, noise.shape)
    return _predicted(sizes, sign * (fitted + noise), where, sign, floor)
