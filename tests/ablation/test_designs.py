"""Designs: contrasts, orthogonal arrays, screening."""

import numpy as np
import pytest

from keras_strategies.ablation import _designs


@pytest.mark.parametrize("factors", [1, 3, 7, 11, 12, 15, 19, 23, 27, 30, 43])
def test_columns_are_balanced_and_orthogonal(factors):
    array = _designs.hadamard(factors)
    assert set(np.unique(array)) == {-1, 1}
    np.testing.assert_array_equal(array.T @ array, len(array) * np.eye(factors))
    np.testing.assert_array_equal(array.sum(axis=0), 0)
    np.testing.assert_array_equal(array[0], -1)


def test_fifteen_strategies_need_sixteen_trainings():
    assert len(_designs.hadamard(15)) == 16
    assert len(_designs.hadamard(11)) == 12


@pytest.mark.parametrize(
    "make", [_designs.add_one, _designs.leave_one_out, _designs.factorial]
)
def test_effects_of_an_additive_score(make):
    truth = {"a": 1.0, "b": -2.0, "c": 0.5}
    design = make(list(truth))
    for name, contrast in design.effects.items():
        assert sum(contrast.values()) == pytest.approx(0)
        score = sum(w * sum(truth[n] for n in arm) for arm, w in contrast.items())
        assert score == pytest.approx(truth[name])
    for contrast in design.interactions.values():
        score = sum(w * sum(truth[n] for n in arm) for arm, w in contrast.items())
        assert score == pytest.approx(0)


def test_factorial_finds_an_interaction():
    design = _designs.factorial(["a", "b"])
    both = design.interactions["a x b"]
    assert sum(w * (set(arm) == {"a", "b"}) for arm, w in both.items()) == 0.5


def test_too_many_factors():
    with pytest.raises(ValueError, match="at most 6 strategies"):
        _designs.factorial([str(n) for n in range(7)])


def test_screening_finds_main_effects():
    rng = np.random.default_rng(0)
    names = [f"s{n}" for n in range(11)]
    rows = []
    for replicate in range(2):
        arms = _designs.screening_arms(names, replicate, 0, lambda a, b: None)
        assert len(arms) == 12
        for arm in arms:
            # A strong interaction of two others does not look like a main effect.
            both = 2.0 * ("s5" in arm and "s6" in arm)
            score = replicate + 3.0 * ("s2" in arm) + both + 0.1 * rng.normal()
            rows.append((replicate, arm, score))
    effects = _designs.main_effects(names, rows)
    assert effects["s2"].low < 3.0 < effects["s2"].high
    assert max(effects, key=lambda name: effects[name].effect) == "s2"
    for name in ("s0", "s1", "s3"):
        assert effects[name].low < 0 < effects[name].high


def test_strategies_that_exclude_each_other_are_not_in_one_training():
    names = [f"s{n}" for n in range(7)]
    group = {"s0", "s1", "s2"}

    def excludes(a, b):
        return "one group" if {a, b} <= group else None

    for replicate in range(2):
        for arm in _designs.screening_arms(names, replicate, 1, excludes):
            assert len(group & set(arm)) <= 1


def test_a_screening_that_mostly_failed_says_nothing():
    assert _designs.main_effects(["a", "b"], [(0, ("a",), 1.0), (0, (), 0.0)]) == {}
