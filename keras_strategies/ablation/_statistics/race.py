"""The race: after each look, which strategies are decided and which go on.

The rule was chosen by simulation; `scripts/benchmark study --simulate` runs it on
drawn scores. Its error rate is that of all strategies together: Holm's procedure in
the form that passes the error rate of a decided strategy on to the others (Maurer and
Bretz), on p-values that stay valid however often one looks (`spending`).

Stopping for futility binds nobody, so it costs power but never adds errors: without
it almost nothing is saved from five strategies on.

Reference:

- [Maurer and Bretz, 2013, Multiple testing in group sequential trials using graphical
  approaches](https://doi.org/10.1080/19466315.2013.807748)
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from keras_strategies.ablation._statistics.paired import Evidence
from keras_strategies.ablation._statistics.spending import (
    SpendingBounds,
    spending_bounds,
)

ALPHA = 0.05
POWER = 0.8
# Conditional power below which a strategy is not worth more trainings.
_FUTILE = 0.03
_MOST_SEEDS = 1000
# t with fewer than two degrees of freedom has no use.
_FEWEST_PAIRS = 3

DIFFERENT, SAME, OPEN = "different", "same", "open"


@dataclasses.dataclass
class Standing:
    """Where one strategy stands.

    Attributes:
        state: `"different"`, `"same"` (within the tolerance) or `"open"`.
        running: Whether it gets more seeds.
        reason: Why it stopped.
        look: Number of the last look at it.
        evidence: What was seen then.
        p_value: p-value at that look, of this strategy alone.
        share: By how much the error rate is divided for it.
    """

    state: str = OPEN
    running: bool = True
    reason: str = ""
    look: int = -1
    evidence: Evidence | None = None
    p_value: float = 1.0
    share: int = 1


class Race:
    """Decides from the evidence at each look; knows nothing of trainings.

    Args:
        names: Names of the strategies.
        looks: Numbers of pairs at the looks.
        tolerance: Difference that would not matter, or `None`.
        overlap: See `paired.evidence`; for the forecasts.
        sign: 1 if more of the metric is better, else -1.

    Attributes:
        failures: Trainings of each strategy that failed where those without it did
            not. Dropping these pairs would favour it: a strategy that is better when
            it works is not shown to help.
    """

    def __init__(
        self,
        names: Sequence[str],
        looks: Sequence[int],
        tolerance: float | None = None,
        overlap: float = 0.0,
        sign: int = 1,
    ):
        self.looks: tuple[int, ...] = tuple(looks)
        self.tolerance = tolerance
        self.overlap = overlap
        self.sign = sign
        self.failures: dict[str, int] = {}
        self.bounds: SpendingBounds = spending_bounds(self.looks)
        self.standings: dict[str, Standing] = {name: Standing() for name in names}

    @property
    def running(self) -> list[str]:
        """Names of those that get more seeds."""
        return [name for name, item in self.standings.items() if item.running]

    @property
    def share(self) -> int:
        """Strategies that are not shown to be different."""
        return sum(item.state != DIFFERENT for item in self.standings.values())

    def stop(self, name: str, reason: str) -> None:
        """Gives a strategy no more seeds."""
        standing = self.standings[name]
        standing.running, standing.reason = False, reason

    def look(self, number: int, evidence: Mapping[str, Evidence]) -> None:
        """Takes the evidence of the running strategies at a look into account."""
        for name in self.running:
            standing, seen = self.standings[name], evidence[name]
            standing.look, standing.evidence = number, seen
            standing.p_value = self._p_value(number, seen)
        self._accept_same(number)
        self._reject()
        for name in self.running:
            self._give_up(number, name)
        if number == len(self.looks) - 1:
            for name in self.running:
                self.stop(name, f"not decided with {self.looks[-1]} seeds")

    def _p_value(self, number, seen):
        if seen.identical or seen.pairs < _FEWEST_PAIRS:
            return 1.0
        return self.bounds.p_value(
            number, abs(seen.mean), seen.seed_variance, seen.test_variance, seen.pairs
        )

    def _accept_same(self, number):
        for name in self.running:
            standing = self.standings[name]
            seen = standing.evidence
            if seen.pairs < _FEWEST_PAIRS:
                continue
            if seen.identical:
                standing.state = SAME
                self.stop(name, "every training is the same as without it")
            elif self.tolerance is not None:
                # Two one-sided tests (Schuirmann, 1987): each at the full error rate,
                # as a difference cannot be beyond both ends of the tolerance.
                reach = abs(seen.mean) + self.reach(number, seen, 2 * ALPHA, sides=1)
                if reach <= self.tolerance:
                    standing.state = SAME
                    self.stop(name, "within the tolerance")

    def _reject(self):
        """Holm: the smallest p-value first, then with what it leaves to the others."""
        while True:
            share = self.share
            passed = [
                name
                for name in self.running
                if self.standings[name].p_value <= ALPHA / share
                and not self._is_barred(name)
            ]
            if not passed:
                break
            # One at a time: what it leaves over raises the level of the others, which
            # may pass then.
            name = min(passed, key=lambda name: self.standings[name].p_value)
            self.standings[name].state = DIFFERENT
            self.standings[name].share = share
            self.stop(name, "decided")
        for standing in self.standings.values():
            if standing.state != DIFFERENT:
                standing.share = max(1, self.share)

    def _is_barred(self, name):
        better = self.sign * self.standings[name].evidence.mean > 0
        return better and self.failures.get(name, 0) > 0

    def reach(
        self, number: int, seen: Evidence, level: float = ALPHA, sides: int = 2
    ) -> float:
        """Half the width of the confidence interval at a look.

        The interval holds at all looks together, so stopping does not spoil it.
        One-sided bounds take half of `level`, as a one-sided test does.
        """
        from scipy import stats

        level = level / 2 if sides == 1 else level
        bounds = spending_bounds(self.looks, sides)
        bound = bounds.bound(number, level, seen.pairs)
        z = stats.norm.isf(level / sides)
        return float(np.sqrt(bound**2 * seen.seed_variance + z**2 * seen.test_variance))

    def interval(self, name: str) -> tuple[float, float] | None:
        """Confidence interval of a difference, at once with those of all others.

        Holm's procedure tests with what the decided ones leave over, but intervals at
        these levels would not hold together: of twelve real effects one is outside its
        interval in 11 % of studies. Each has a part of the error rate of its own
        (Bonferroni), and one that is decided ends at 0 where it would go beyond.
        """
        standing = self.standings[name]
        seen = standing.evidence
        if seen is None or seen.pairs < _FEWEST_PAIRS:
            return None
        if seen.identical:
            return 0.0, 0.0
        reach = self.reach(standing.look, seen, ALPHA / len(self.standings))
        low, high = seen.mean - reach, seen.mean + reach
        if standing.state == DIFFERENT:
            low, high = (
                (max(low, 0.0), high) if seen.mean > 0 else (low, min(high, 0.0))
            )
        return low, high

    def _give_up(self, number, name):
        """Stops a strategy that further seeds would hardly decide."""
        from scipy import stats

        standing = self.standings[name]
        seen, last = standing.evidence, self.looks[-1]
        if seen.pairs < _FEWEST_PAIRS or number == len(self.looks) - 1:
            return
        final, spread = self._at_the_end(number, seen)
        needed = self.reach(len(self.looks) - 1, final, ALPHA / standing.share)
        mean = abs(seen.mean)
        # Conditional power: the chance that the last look decides if the difference is
        # the one seen so far (Lan and Wittes, 1988).
        chance = stats.norm.cdf((mean - needed) / spread)
        if self.tolerance is not None:
            room = self.tolerance - self.reach(
                len(self.looks) - 1, final, 2 * ALPHA, sides=1
            )
            ends = stats.norm.cdf([(room - mean) / spread, (-room - mean) / spread])
            chance = max(chance, ends[0] - ends[1])
        if chance < _FUTILE:
            self.stop(name, f"{last} seeds would hardly decide it")
            z = stats.norm.isf(ALPHA / standing.share / 2)
            best = mean + np.sqrt(seen.seed_variance)
            if best < z * np.sqrt(seen.test_variance):
                self.stop(name, "the test set is too small to decide it")

    def _at_the_end(self, number, seen):
        """The evidence at the last look if nothing changes, and how it may vary."""
        last, now = self.looks[-1], self.looks[number]
        final = seen._replace(
            pairs=last, seed_variance=(1 / last + self.overlap) * seen.deviation**2
        )
        spread = seen.deviation * np.sqrt(last - now) / last
        return final, max(float(spread), 1e-12)

    def adjusted(self) -> dict[str, float]:
        """p-values for all strategies together, by Holm's procedure."""
        names = sorted(self.standings, key=lambda name: self.standings[name].p_value)
        adjusted, largest = {}, 0.0
        for number, name in enumerate(names):
            value = (len(names) - number) * self.standings[name].p_value
            largest = max(largest, min(1.0, value))
            adjusted[name] = largest
        return adjusted

    def more_seeds(self, name: str) -> int | None:
        """Further seeds that would decide a strategy with a power of 80 %.

        A forecast that takes the difference seen for the true one; `None` if the test
        set is too small for any number, or if more than 1,000 would be needed.
        """
        from scipy import stats

        standing = self.standings[name]
        seen = standing.evidence
        if seen is None or seen.pairs < _FEWEST_PAIRS or not seen.mean:
            return None
        counts = np.arange(seen.pairs + 1, _MOST_SEEDS + 1)
        level = ALPHA / standing.share / 2
        bound = stats.t.isf(level, counts - 1)
        variance = (1 / counts + self.overlap) * seen.deviation**2
        fixed = stats.norm.isf(level) ** 2 * seen.test_variance
        needed = np.sqrt(bound**2 * variance + fixed)
        needed = needed + stats.norm.ppf(POWER) * seen.deviation / np.sqrt(counts)
        enough = np.flatnonzero(abs(seen.mean) >= needed)
        return int(counts[enough[0]] - seen.pairs) if len(enough) else None

    def detectable(self, name: str) -> float | None:
        """The difference that the whole race would show with a power of 80 %."""
        from scipy import stats

        seen = self.standings[name].evidence
        if seen is None or seen.pairs < _FEWEST_PAIRS:
            return None
        final, _ = self._at_the_end(self.standings[name].look, seen)
        last = len(self.looks) - 1
        needed = self.reach(last, final, ALPHA / self.standings[name].share)
        return needed + float(stats.norm.ppf(POWER)) * final.error
