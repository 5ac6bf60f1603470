"""Bounds by alpha spending: closed forms, Monte Carlo, published values."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from keras_strategies.ablation._statistics.spending import (
    SpendingBounds,
    looks_of,
    spending_bounds,
)

LOOKS = (5, 7, 10, 14, 20)


def test_looks_of_the_default_design():
    assert looks_of(5, 20) == LOOKS


@given(st.integers(3, 100), st.integers(0, 200))
def test_looks_rise_from_first_to_last(first, more):
    looks = looks_of(first, first + more)
    assert looks[0] == first
    assert looks[-1] == first + more
    assert list(looks) == sorted(set(looks))


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        # Bounds found by Monte Carlo with 2 million paths, two digits of them.
        (1, [4.31, 3.88, 3.19, 2.79, 2.47]),
        (12, [8.52, 6.63, 4.98, 4.21, 3.68]),
    ],
)
def test_bounds_agree_with_monte_carlo(share, expected):
    bounds = spending_bounds(LOOKS).at(0.05 / share)
    np.testing.assert_allclose(bounds, expected, rtol=0.011)


@pytest.mark.parametrize("sides", [1, 2])
def test_first_and_only_looks_are_quantiles_of_t(sides):
    first = spending_bounds(LOOKS, sides).at(0.05)[0]
    assert first == pytest.approx(stats.t.isf(0.05 / 4 / sides, 4), rel=2e-3)
    only = SpendingBounds((3,), sides).at(0.01)[0]
    assert only == pytest.approx(stats.t.isf(0.01 / sides, 2), rel=2e-3)


@pytest.mark.parametrize(("looks", "sides"), [((3, 4, 6, 8, 11), 2), ((8, 11, 15), 1)])
def test_each_look_spends_its_part(looks, sides):
    rng = np.random.default_rng(0)
    level, studies = 0.1, 200_000
    x = rng.normal(size=(studies, looks[-1]))
    running = np.ones(studies, bool)
    spent = []
    for bound, pairs in zip(
        spending_bounds(looks, sides).at(level), looks, strict=True
    ):
        t = x[:, :pairs].mean(axis=1) / x[:, :pairs].std(axis=1, ddof=1)
        t = t * np.sqrt(pairs)
        beyond = (np.abs(t) if sides == 2 else t) >= bound
        spent.append((running & beyond).mean())
        running &= ~beyond
    planned = level * np.diff([0, *looks]) / looks[-1]
    # Four standard errors of the Monte Carlo figures.
    tolerance = 4 * np.sqrt(planned / studies)
    assert np.all(np.abs(spent - planned) < tolerance), (spent, planned)


@pytest.mark.parametrize("look", range(len(LOOKS)))
def test_p_value_undoes_the_bound(look):
    bounds = spending_bounds(LOOKS)
    for level in (0.2, 0.05, 0.05 / 12):
        distance = bounds.bound(look, level) * np.sqrt(0.3)
        assert bounds.p_value(look, distance, 0.3) == pytest.approx(level, rel=0.05)


def test_p_value_with_the_error_of_the_test_set():
    bounds = spending_bounds(LOOKS)
    level = 0.05
    fixed = stats.norm.isf(level / 2) ** 2 * 0.2
    distance = np.sqrt(bounds.bound(2, level) ** 2 * 0.3 + fixed)
    assert bounds.p_value(2, distance, 0.3, 0.2) == pytest.approx(level, rel=0.02)
    assert bounds.p_value(2, 0.0, 0.3, 0.2) == 1.0


def test_lost_pairs_widen_the_bound():
    bounds = spending_bounds(LOOKS)
    whole, fewer = bounds.bound(2, 0.05), bounds.bound(2, 0.05, pairs=6)
    expected = stats.t.isf(stats.t.sf(whole, 9), 5)
    assert fewer == pytest.approx(expected, rel=1e-2)
    assert fewer > whole


@pytest.mark.parametrize("looks", [(20, 55, 100), (60, 118, 200), (100, 400, 1000)])
@pytest.mark.parametrize("sides", [1, 2])
def test_bounds_of_many_pairs_spend_what_is_due(looks, sides):
    """On drawn studies, whose sums of many differences are drawn at once."""
    level, paths = 0.05, 40_000
    bounds = SpendingBounds(looks, sides).at(level)
    rng = np.random.default_rng(0)
    total, squares, beyond, pairs = np.zeros(paths), np.zeros(paths), False, 0
    for look, bound in zip(looks, bounds, strict=True):
        added = look - pairs
        part = rng.normal(size=paths) * np.sqrt(added)
        total += part
        squares += part**2 / added + rng.chisquare(added - 1, size=paths)
        pairs = look
        variance = (squares - total**2 / pairs) / (pairs - 1)
        t = total / np.sqrt(pairs * variance)
        beyond = beyond | ((np.abs(t) if sides == 2 else t) >= bound)
        due = level * look / looks[-1]
        assert np.mean(beyond) == pytest.approx(due, abs=4 * np.sqrt(due / paths))
