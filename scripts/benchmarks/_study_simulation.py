"""Error rates, power and trainings of the rule of a study, on scores that are drawn.

Differences of all strategies share the baseline, so they correlate by one half. An
effect of 1 is one standard deviation of the paired difference. The fixed design has a
given number of pairs of every strategy, paired t tests and Holm's procedure.
"""

import time
from typing import NamedTuple

import numpy as np
from scipy import stats

from keras_strategies.ablation import _designs
from keras_strategies.ablation._statistics.paired import evidence
from keras_strategies.ablation._statistics.race import ALPHA, Race
from keras_strategies.ablation._statistics.spending import looks_of

FIRST, LAST = 5, 20
REAL = {1: 1, 5: 2, 12: 3}
EFFECTS = (0.0, 0.5, 1.0, 2.0)


def normal(rng, shape):
    return rng.normal(size=shape)


def heavy(rng, shape):
    """Student's t with 3 degrees of freedom, of variance 1."""
    return rng.standard_t(3, size=shape) / np.sqrt(3)


def skewed(rng, shape):
    """Exponential, of mean 0 and variance 1."""
    return rng.exponential(size=shape) - 1


def differences(rng, strategies, effect, noise=normal):
    """Differences to the baseline, shape (strategies, LAST)."""
    scores = noise(rng, (strategies + 1, LAST)) * np.sqrt(0.5)
    drawn = scores[1:] - scores[0]
    if effect:
        drawn[: REAL[strategies]] += effect
    return drawn


class Outcome(NamedTuple):
    """What came out of one study.

    Attributes:
        different: Which strategies are called different.
        helpful: Which are called helpful.
        intervals: An interval for each strategy, shape (strategies, 2).
        trainings: Trainings of the study.
    """

    different: np.ndarray
    helpful: np.ndarray
    intervals: np.ndarray
    trainings: int


def race(drawn, spread=0.0, rng=None, first=FIRST):
    """Runs one study.

    With a `spread` every strategy has an error of this deviation that no seed changes,
    as a test set makes; the rule estimates it from 300 samples.
    """
    names = [str(number) for number in range(len(drawn))]
    looks = looks_of(first, LAST)
    running, done, trainings = Race(names, looks), 0, 0
    parts = None
    if spread:
        samples = 300
        # Each sample's share of the error; their mean is the error of the strategy.
        parts = rng.normal(size=(len(drawn), samples)) * spread * np.sqrt(samples)
        drawn = drawn + parts.mean(axis=1, keepdims=True)
    for number, pairs in enumerate(looks):
        active = running.running
        if not active:
            break
        trainings += (pairs - done) * (len(active) + 1)
        done = pairs
        seen = {}
        for name in active:
            row = int(name)
            values = drawn[row, :pairs]
            samples = None
            if parts is not None:
                centred = values - values.mean()
                samples = parts[row] + centred[:, np.newaxis]
            seen[name] = evidence(values, samples)
        running.look(number, seen)
    standings = running.standings.values()
    different = np.array([item.state == "different" for item in standings])
    better = np.array([item.evidence.mean > 0 for item in standings])
    intervals = np.array([running.interval(name) for name in names])
    return Outcome(different, different & better, intervals, trainings)


def missed(intervals, truth):
    """Whether any strategy's effect is outside its interval."""
    return bool(((intervals[:, 0] > truth) | (intervals[:, 1] < truth)).any())


def fixed(drawn, pairs):
    """Which strategies a design of so many pairs finds different."""
    values = drawn[:, :pairs]
    t = values.mean(axis=1) / values.std(axis=1, ddof=1) * np.sqrt(pairs)
    p = 2 * stats.t.sf(np.abs(t), pairs - 1)
    order = np.argsort(p)
    passed = p[order] * np.arange(len(p), 0, -1) <= ALPHA
    found = np.zeros(len(p), bool)
    found[order] = np.logical_and.accumulate(passed)
    return found


def summary(strategies, effect, studies, noise=normal, spread=0.0, seed=1):
    """One row of the table."""
    rng = np.random.default_rng(seed)
    real = REAL[strategies] if effect else 0
    truth = np.where(np.arange(strategies) < real, effect, 0.0)
    wrong = helpful = outside = power = trainings = 0
    powers = np.zeros(LAST + 1)
    for _ in range(studies):
        drawn = differences(rng, strategies, effect, noise)
        outcome = race(drawn, spread=spread, rng=rng)
        wrong += outcome.different[real:].any()
        helpful += outcome.helpful[real:].any()
        outside += missed(outcome.intervals, truth)
        power += outcome.different[:real].mean() if real else 0
        trainings += outcome.trainings / studies
        if real:
            for pairs in range(3, LAST + 1):
                powers[pairs] += fixed(drawn, pairs)[:real].mean() / studies
    row = {
        "strategies": strategies,
        "effect": effect,
        "wrong": wrong / studies,
        "called helpful": helpful / studies,
        "outside": outside / studies,
        "power": power / studies if real else None,
        "trainings": trainings,
        "saved": 1 - trainings / (LAST * (strategies + 1)),
        "fixed power": powers[LAST] if real else None,
        "saved at equal power": None,
    }
    if real:
        # The smallest fixed design with the power of the study; the largest has it all
        # but for what looking early costs.
        enough = np.flatnonzero(powers[3:] >= min(row["power"], powers[LAST]))
        pairs = 3 + enough[0]
        row["saved at equal power"] = 1 - trainings / (pairs * (strategies + 1))
    return row


def coverage(strategies, first, studies, effect=2.0, seed=1):
    """Share of studies in which an effect is outside its interval; all are real."""
    rng = np.random.default_rng(seed)
    outside = 0
    for _ in range(studies):
        scores = rng.normal(size=(strategies + 1, LAST)) * np.sqrt(0.5)
        drawn = scores[1:] - scores[0] + effect
        outside += missed(race(drawn, first=first).intervals, effect)
    return outside / studies


def screening(studies, effect, strategies=15, real=3, seed=1):
    """Two replicates of a screening, then a race of the best quarter."""
    rng = np.random.default_rng(seed)
    names = [str(number) for number in range(strategies)]
    truth = {name: effect * (int(name) < real) for name in names}
    wrong = power = trainings = 0
    for study in range(studies):
        rows = []
        for replicate in range(2):
            arms = _designs.screening_arms(names, replicate, study, lambda a, b: None)
            for arm in arms:
                score = sum(truth[name] for name in arm)
                rows.append((replicate, arm, score + rng.normal() * np.sqrt(0.5)))
        effects = _designs.main_effects(names, rows)
        best = sorted(names, key=lambda name: -effects[name].effect)[:4]
        scores = rng.normal(size=(5, LAST)) * np.sqrt(0.5)
        drawn = scores[1:] - scores[0]
        drawn += np.array([[truth[name]] for name in best])
        different, _, _, used = race(drawn)
        is_real = np.array([int(name) < real and effect > 0 for name in best])
        wrong += (different & ~is_real).any()
        power += (different & is_real).sum() / real
        trainings += (used + len(rows)) / studies
    return {
        "effect": effect,
        "wrong": wrong / studies,
        "power": power / studies if effect else None,
        "trainings": trainings,
    }


def cell(value, form):
    return "-" if value is None else format(value, form)


def main(studies):
    begin = time.process_time()
    print(
        f"{studies} studies a row, looks at {looks_of(FIRST, LAST)} pairs; "
        "1 of 1, 2 of 5, 3 of 12 strategies real"
    )
    print(
        "strategies effect  wrong helpful outside  power (fixed 20)  trainings  saved  "
        "at equal power"
    )
    for strategies in REAL:
        for effect in EFFECTS:
            row = summary(strategies, effect, studies)
            power = f"{cell(row['power'], '6.2f')} ({cell(row['fixed power'], '.2f')})"
            print(
                f"{strategies:10d} {effect:6.1f} {row['wrong']:6.3f} "
                f"{row['called helpful']:7.3f} {row['outside']:7.3f} {power} "
                f"{row['trainings']:16.1f} {row['saved']:6.0%} "
                f"{cell(row['saved at equal power'], '7.0%')}",
                flush=True,
            )
    print("null studies of 12 strategies where the assumptions do not hold")
    for title, settings in (
        ("test set of a quarter of a deviation", {"spread": 0.25}),
        ("heavy tails", {"noise": heavy}),
        ("skew", {"noise": skewed}),
    ):
        row = summary(12, 0.0, studies, **settings)
        print(f"  {title}: wrong {row['wrong']:.3f}", flush=True)
    print("studies with any effect outside its interval, all strategies real, d = 2")
    for strategies in (5, 12):
        for first in (FIRST, LAST):
            share, looks = coverage(strategies, first, studies), looks_of(first, LAST)
            print(f"  {strategies} strategies, looks {looks}: {share:.3f}", flush=True)
    print("screening of 15 strategies, 3 of them real, then a race of 4")
    for effect in (0.0, 1.0):
        row = screening(studies, effect)
        print(
            f"  effect {effect}: wrong {row['wrong']:.3f}, power "
            f"{cell(row['power'], '.2f')}, trainings {row['trainings']:.0f}",
            flush=True,
        )
    print(f"{time.process_time() - begin:.0f} s of processor time")
