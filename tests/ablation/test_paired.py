"""Mean and variances of paired differences against references."""

import numpy as np
import pytest

from keras_strategies.ablation._statistics.paired import evidence


def test_seed_variance_is_that_of_the_mean():
    values = np.array([0.1, 0.3, 0.2, 0.6])
    seen = evidence(values)
    assert seen.mean == pytest.approx(0.3)
    assert seen.seed_variance == pytest.approx(np.var(values, ddof=1) / 4)
    assert seen.test_variance == 0.0
    assert seen.error == pytest.approx(np.std(values, ddof=1) / 2)


def test_nadeau_and_bengio():
    values = np.array([0.1, 0.3, 0.2, 0.6])
    corrected = evidence(values, overlap=0.25).seed_variance
    assert corrected == pytest.approx((1 / 4 + 0.25) * np.var(values, ddof=1))


def test_test_variance_is_that_of_the_anova():
    """The two-way table of pairs and samples, by sums of squares."""
    rng = np.random.default_rng(0)
    n, m = 6, 50
    table = rng.normal(size=(1, m)) + 0.5 * rng.normal(size=(n, m)) + 0.2
    seen = evidence(table.mean(axis=1), table)
    rows, columns = table.mean(axis=1, keepdims=True), table.mean(axis=0)
    rest = table - rows - columns + table.mean()
    interaction = (rest**2).sum() / ((n - 1) * (m - 1))
    of_samples = n * ((columns - table.mean()) ** 2).sum() / (m - 1)
    expected = (of_samples - interaction) / n / m
    assert seen.test_variance == pytest.approx(expected, rel=1e-9)


def test_bootstrap_replicates_give_the_same_variance():
    rng = np.random.default_rng(1)
    n, m, replicates = 5, 400, 4000
    table = rng.normal(size=(1, m)) + 0.5 * rng.normal(size=(n, m))
    exact = evidence(table.mean(axis=1), table)
    rows = rng.integers(m, size=(replicates, m))
    drawn = np.stack([table[:, row].mean(axis=1) for row in rows], axis=1)
    booted = evidence(table.mean(axis=1), drawn, by_sample=False)
    assert booted.test_variance == pytest.approx(exact.test_variance, rel=0.1)


def test_equal_shares_may_hide_less_than_a_sample():
    values = np.full(4, 0.01)
    seen = evidence(values, np.tile([1.0, 0.0], (4, 50)), samples=100)
    assert seen.seed_variance == pytest.approx(1 / (6 * 100**2) / 4)


def test_nothing_at_all_differs():
    assert evidence(np.zeros(3), np.zeros((3, 10)), samples=10).identical
    other = np.zeros((3, 10))
    other[0, :2] = 1, -1
    assert not evidence(np.zeros(3), other, samples=10).identical


def test_interval_covers_with_both_errors():
    """Seeds alone cover too seldom on new data, both errors together as they say."""
    rng = np.random.default_rng(2)
    n, m, covered, by_seeds = 8, 200, 0, 0
    studies = 400
    for _ in range(studies):
        samples = rng.normal(size=(1, m)) * 2
        pairs = rng.normal(size=(n, 1)) * 0.1
        table = samples + pairs + rng.normal(size=(n, m))
        seen = evidence(table.mean(axis=1), table)
        covered += abs(seen.mean) < 2.0 * seen.error
        by_seeds += abs(seen.mean) < 2.36 * np.sqrt(seen.seed_variance)
    assert covered / studies > 0.91
    assert by_seeds / studies < 0.85
