"""Decision whether a model keeps to its budget, by a confidence bound on new data.

A drop measured on some hundred samples is a random number. The budget counts as met
only if the one-sided upper confidence bound of the drop is within it, so that of the
models that really are over their budget at most `1 - confidence` are passed.
"""

import dataclasses
import math
import statistics
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

#: Fewest samples of a part that a search or a decision can be made on: the bounds
#: below hold for samples that are many, and say nothing about ten.
MIN_SAMPLES = 20

_NUM_RESAMPLES = 400
# Where a search for the number of samples ends: nobody has more.
_MOST_SAMPLES = 10**9


@dataclasses.dataclass(frozen=True)
class BudgetDecision:
    """Whether a drop is within a budget, and how sure that is.

    Attributes:
        met: Whether the upper bound is within the budget.
        drop: The measured drop in points.
        bound: Its upper confidence bound.
        samples: Number of samples it was measured on.
        samples_needed: About how many would decide, at the rates measured; `None` if
            the measured drop itself is over the budget.
        reason: One sentence.
    """

    met: bool
    drop: float
    bound: float
    samples: int
    samples_needed: int | None
    reason: str


def decide(
    drop: float,
    before: np.ndarray | None,
    after: np.ndarray | None,
    weight: np.ndarray | None,
    *,
    mode: Literal["min", "max"],
    budget: float,
    confidence: float,
    samples: int,
    resampled: Callable[[np.ndarray], float] = lambda rows: math.nan,
) -> BudgetDecision:
    """Decides by the bound that fits the metric.

    Args:
        drop: The measured drop.
        before: The metric of each sample, of the float model; `None` if the metric is
            no mean of samples.
        after: The same of the compressed model.
        weight: Weights of the samples, or `None`.
        mode: Whether more or less is better.
        budget: Points that may be lost.
        confidence: Of the one-sided bound, in (0.5, 1).
        samples: Number of samples.
        resampled: Function of row numbers that returns the drop on these rows, for
            metrics that are no means of samples.
    """
    if before is None or after is None:
        bound = bootstrap_bound(resampled, samples, confidence)
        # The distance of a bound shrinks with the square root of the samples.
        needed = _scaled(bound - drop, budget - drop, samples)
    elif mode == "max" and _is_binary(before) and _is_binary(after):
        lost, gained, count = _discordant(before, after, weight)
        bound = tango_bound(lost, gained, count, confidence)
        needed = None
        if budget > 0:
            shares = lost / count, gained / count
            needed = _least(
                lambda n: (
                    tango_bound(shares[0] * n, shares[1] * n, n, confidence) <= budget
                )
            )
            needed = None if needed is None else math.ceil(needed * samples / count)
    else:
        values = before, after, np.ones(samples) if weight is None else weight
        bound = t_bound(*values, mode, confidence)
        needed = _scaled(bound - drop, budget - drop, samples)
    return _decision(drop, bound, samples, needed, budget, confidence)


def _decision(drop, bound, samples, needed, budget, confidence):
    sure = f"{confidence:.0%} sure"
    if math.isnan(bound):
        bound = math.inf
    if bound <= budget:
        text = (
            f"The drop is at most {bound:.2f} points ({sure}, {samples} held-out "
            f"samples), within the budget of {budget:g}."
        )
        return BudgetDecision(True, drop, bound, samples, samples, text)
    if not drop <= budget:
        text = (
            f"The drop of {drop:.2f} points on {samples} held-out samples is over the "
            f"budget of {budget:g}."
        )
        return BudgetDecision(False, drop, bound, samples, None, text)
    text = (
        f"Undecided: {drop:+.2f} points on {samples} held-out samples, but up to "
        f"{bound:.2f} cannot be excluded ({sure}), and the budget is {budget:g}."
    )
    if needed is not None:
        more = max(needed - samples, 1)
        text += f" About {needed:,} samples would decide, {more:,} more."
    return BudgetDecision(False, drop, bound, samples, needed, text)


def samples_to_decide(budget: float, confidence: float) -> int | None:
    """How many samples can decide about a budget of accuracy at best.

    That is, if no sample changes sides. `None` for a budget of 0.
    """
    if budget <= 0:
        return None
    return _least(lambda n: tango_bound(0, 0, n, confidence) <= budget)


def tango_bound(lost: float, gained: float, count: float, confidence: float) -> float:
    """The upper bound of a drop of accuracy in points, from paired samples.

    `lost` samples were right only before, `gained` only after. The score interval of
    Tango for the difference of paired proportions: the largest difference `d` with
    `(lost - gained - n d)^2 <= z^2 n (2 q + d (1 - d))`, where `q` is the constrained
    estimate of the share gained. Unlike McNemar's test it is right without any changed
    sample: the bound is then `z^2 / (n + z^2)`, not 0.

    Reference: Tango, "Equivalence test and confidence interval for the difference in
    proportions for the paired-sample design" (1998), Statistics in Medicine 17.
    """
    z = statistics.NormalDist().inv_cdf(confidence)

    def excess(difference):
        # The constrained estimate is the root of a quadratic (Tango, equation 9).
        a = 2.0 * count
        b = -lost - gained + (2 * count - lost + gained) * difference
        c = -gained * difference * (1 - difference)
        q = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
        variance = count * (2 * q + difference * (1 - difference))
        distance = count * difference - lost + gained
        return distance - z * math.sqrt(max(variance, 0.0))

    low, high = (lost - gained) / count, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(middle) < 0 else (low, middle)
    return 100 * high


def t_bound(
    before: np.ndarray,
    after: np.ndarray,
    weight: np.ndarray,
    mode: Literal["min", "max"],
    confidence: float,
) -> float:
    """The upper bound of the drop of a mean in points, by Student's t of the pairs.

    A metric to maximize loses `100 (before - after)`. The loss of a metric to minimize
    is relative: the bound is the largest `d` for which the mean of
    `after - (1 + d / 100) before` is not below 0 (Fieller's interval of a ratio), and
    infinite if the mean before may be 0.
    """

    def mean_bounds(values):
        mean = np.sum(weight * values) / np.sum(weight)
        # Linearized variance of a ratio of weighted sums.
        residuals = weight * (values - mean) / np.mean(weight)
        deviation = np.sqrt(np.sum(residuals**2) / (len(values) - 1))
        error = t_quantile(confidence, len(values) - 1) * deviation
        error = error / math.sqrt(len(values))
        return mean - error, mean + error

    if mode == "max":
        return float(mean_bounds(100.0 * (before - after))[1])
    if not mean_bounds(before)[0] > 0:
        return math.inf

    def lower(d):
        return mean_bounds(after - (1 + d / 100) * before)[1]

    low, high = -100.0, 100.0
    # The end is not known: doubled until it is beyond, then bisected.
    while lower(high) > 0:
        low, high = high, 2 * high
        if high > 1e9:
            return math.inf
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if lower(middle) > 0 else (low, middle)
    return high


def bootstrap_bound(
    resampled: Callable[[np.ndarray], float], samples: int, confidence: float
) -> float:
    """The upper bound of a drop by the percentiles of paired bootstrap samples.

    For metrics that are no means of samples, such as AUC. Reference: Efron and
    Tibshirani, "An introduction to the bootstrap" (1993).
    """
    rng = np.random.default_rng(0)
    drops = [
        resampled(rng.integers(0, samples, samples)) for _ in range(_NUM_RESAMPLES)
    ]
    return float(np.quantile(drops, confidence, method="higher"))


def t_quantile(confidence: float, freedom: int) -> float:
    """The quantile of Student's t."""
    from scipy import special

    return float(special.stdtrit(freedom, confidence))


def _is_binary(values: np.ndarray) -> bool:
    return bool(np.isin(values, (0.0, 1.0)).all())


def _discordant(before: Any, after: Any, weight: Any) -> tuple[float, float, float]:
    """`(lost, gained, samples)`; with weights those of as many equal ones."""
    if weight is None:
        weight = np.ones(len(before))
    # Kish's effective number of samples: unequal weights tell less than equal ones.
    count = float(np.sum(weight) ** 2 / np.sum(np.square(weight)))
    shares = [
        float(np.sum(weight * part) / np.sum(weight))
        for part in (before > after, after > before)
    ]
    return shares[0] * count, shares[1] * count, count


def _scaled(distance, room, samples):
    """Samples at which a bound's distance is as small as the room for it."""
    if room <= 0 or not math.isfinite(distance):
        return None
    return min(math.ceil(samples * (distance / room) ** 2), _MOST_SAMPLES)


def _least(is_enough):
    """The smallest number of samples that is enough, or `None`."""
    high = 1
    while not is_enough(high):
        high *= 2
        if high > _MOST_SAMPLES:
            return None
    low = high // 2
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high
