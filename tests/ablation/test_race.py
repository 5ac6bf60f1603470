"""The rule of the race: Holm, tolerance, futility, failures, error rates."""

import numpy as np
import pytest

from keras_strategies.ablation._statistics.paired import Evidence, evidence
from keras_strategies.ablation._statistics.race import Race
from keras_strategies.ablation._statistics.spending import looks_of

LOOKS = looks_of(5, 20)


def seen(mean, error=1.0, pairs=5, test=0.0):
    return Evidence(pairs, mean, error * np.sqrt(pairs), error**2, test)


def test_a_clear_difference_is_decided_at_the_first_look():
    race = Race(["a", "b"], LOOKS)
    race.look(0, {"a": seen(30.0), "b": seen(0.5)})
    assert race.standings["a"].state == "different"
    assert race.running == ["b"]


def test_holm_passes_on_what_a_decision_leaves():
    bound = Race(["a"], LOOKS).bounds
    between = (bound.bound(0, 0.05 / 2) + bound.bound(0, 0.05)) / 2
    alone = Race(["b", "c"], LOOKS)
    alone.look(0, {"b": seen(between), "c": seen(0.5)})
    assert alone.standings["b"].state == "open"
    together = Race(["a", "b"], LOOKS)
    together.look(0, {"a": seen(50.0), "b": seen(between)})
    assert together.standings["b"].state == "different"


def test_adjusted_p_values_are_those_of_holm():
    race = Race(["a", "b", "c"], LOOKS)
    for name, p in (("a", 0.01), ("b", 0.04), ("c", 0.03)):
        race.standings[name].p_value = p
    adjusted = race.adjusted()
    assert adjusted == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})


def test_a_verdict_is_an_interval_without_zero():
    rng = np.random.default_rng(0)
    for _ in range(30):
        race = Race(["a", "b"], LOOKS)
        values = rng.normal(size=(2, 20)) + rng.choice([0, 1.5], size=(2, 1))
        for number, pairs in enumerate(LOOKS):
            if race.running:
                race.look(
                    number,
                    {n: evidence(values["ab".index(n), :pairs]) for n in race.running},
                )
        for name, p in race.adjusted().items():
            item = race.standings[name]
            reach = race.reach(item.look, item.evidence, 0.05 / item.share)
            beyond = abs(item.evidence.mean) > reach
            assert beyond == (item.state == "different") == (p <= 0.05)


@pytest.mark.parametrize("looks", [LOOKS, (10,)])
def test_intervals_hold_together(looks):
    """All effects are real: Holm's levels would miss one in a tenth of the studies."""
    rng = np.random.default_rng(5)
    studies, strategies, effect, outside = 200, 12, 2.0, 0
    for _ in range(studies):
        scores = rng.normal(size=(strategies + 1, 20)) * np.sqrt(0.5)
        drawn = scores[1:] - scores[0] + effect
        race = Race([str(k) for k in range(strategies)], looks)
        for number, pairs in enumerate(looks):
            if race.running:
                race.look(
                    number, {k: evidence(drawn[int(k), :pairs]) for k in race.running}
                )
        intervals = [race.interval(name) for name in race.standings]
        outside += any(not low <= effect <= high for low, high in intervals)
    # 5 % and three standard errors.
    assert outside / studies <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / studies)


def test_the_interval_of_a_verdict_ends_at_zero():
    """Holm decides what Bonferroni would leave open."""
    race = Race(["a", "b"], LOOKS)
    bounds = race.bounds
    between = (bounds.bound(0, 0.05 / 2) + bounds.bound(0, 0.05)) / 2
    race.look(0, {"a": seen(50.0), "b": seen(-between)})
    assert race.standings["b"].state == "different"
    assert race.interval("b")[1] == 0 and race.interval("b")[0] < -between
    assert race.interval("a")[0] > 0


def test_hopeless_strategies_stop():
    race = Race(["a"], LOOKS)
    race.look(2, {"a": seen(0.01, pairs=10)})
    assert not race.running
    assert "hardly" in race.standings["a"].reason


def test_a_test_set_that_is_too_small_is_named():
    race = Race(["a"], LOOKS)
    race.look(2, {"a": seen(2.0, error=0.1, pairs=10, test=4.0)})
    assert race.standings["a"].reason == "the test set is too small to decide it"
    assert race.more_seeds("a") is None


def test_within_the_tolerance():
    race = Race(["a", "b"], LOOKS, tolerance=5.0)
    race.look(2, {"a": seen(0.1, pairs=10), "b": seen(4.9, pairs=10)})
    assert race.standings["a"].state == "same"
    assert race.standings["b"].state != "same"


def test_equal_trainings_are_no_difference():
    race = Race(["a"], LOOKS)
    race.look(0, {"a": evidence(np.zeros(5), np.zeros((5, 9)))})
    assert race.standings["a"].state == "same"


def test_a_strategy_that_fails_is_not_shown_to_help():
    race = Race(["better", "worse"], LOOKS, sign=1)
    race.failures = {"better": 1, "worse": 1}
    race.look(0, {"better": seen(50.0, pairs=4), "worse": seen(-50.0, pairs=4)})
    assert race.standings["better"].state == "open"
    assert race.standings["worse"].state == "different"


def test_forecast_of_further_seeds():
    race = Race(["a"], LOOKS)
    race.look(4, {"a": seen(0.5, error=1 / np.sqrt(20), pairs=20)})
    assert race.standings["a"].state == "open"
    # A paired t test with a power of 80 % for half a deviation takes about 34.
    assert 34 - 3 <= 20 + race.more_seeds("a") <= 34 + 3


def test_detectable_difference_has_the_power_it_says():
    """It is found in about 80 % of the studies."""
    rng = np.random.default_rng(1)
    known = Race(["a"], LOOKS)
    known.look(4, {"a": seen(0.0, error=1 / np.sqrt(20), pairs=20)})
    effect = known.detectable("a")
    found = studied(rng, 300, 1, 1, effect)[1]
    assert 0.72 < found < 0.9


def studied(rng, studies, strategies, real, effect):
    """Share of studies with a wrong verdict, power, and trainings."""
    wrong = power = trainings = 0
    for _ in range(studies):
        scores = rng.normal(size=(strategies + 1, 20)) * np.sqrt(0.5)
        drawn = scores[1:] - scores[0]
        drawn[:real] += effect
        race, done = Race([str(k) for k in range(strategies)], LOOKS), 0
        for number, pairs in enumerate(LOOKS):
            if not race.running:
                break
            trainings += (pairs - done) * (len(race.running) + 1)
            done = pairs
            race.look(
                number, {k: evidence(drawn[int(k), :pairs]) for k in race.running}
            )
        states = [item.state == "different" for item in race.standings.values()]
        wrong += any(states[real:])
        power += np.mean(states[:real]) if real else 0
    return wrong / studies, power / studies, trainings / studies


def test_few_wrong_verdicts_and_few_trainings():
    wrong, _, trainings = studied(np.random.default_rng(2), 250, 5, 0, 0.0)
    # 5 % and three standard errors.
    assert wrong <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 250)
    assert trainings < 0.6 * 20 * 6


@pytest.mark.parametrize(
    ("corrected", "most", "least"), [(True, 0.08, 0), (False, 1, 0.2)]
)
def test_training_sets_that_overlap(corrected, most, least):
    """Differences of resampled splits have a part in common that no run changes."""
    rng = np.random.default_rng(4)
    studies, common = 300, 0.25
    overlap = common / (1 - common) if corrected else 0.0
    wrong = 0
    for _ in range(studies):
        shared = rng.normal() * np.sqrt(common)
        drawn = shared + rng.normal(size=20) * np.sqrt(1 - common)
        race = Race(["a"], LOOKS, overlap=overlap)
        for number, pairs in enumerate(LOOKS):
            if race.running:
                race.look(number, {"a": evidence(drawn[:pairs], overlap=overlap)})
        wrong += race.standings["a"].state == "different"
    assert least <= wrong / studies <= most


@pytest.mark.slow
@pytest.mark.parametrize(("strategies", "real"), [(1, 1), (5, 2), (12, 3)])
def test_error_rate_power_and_savings(strategies, real):
    studies = 2000
    rng = np.random.default_rng(3)
    wrong, _, trainings = studied(rng, studies, strategies, 0, 0.0)
    assert wrong <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / studies)
    assert trainings <= 0.6 * 20 * (strategies + 1)
    _, power, trainings = studied(rng, studies, strategies, real, 1.0)
    assert power > {1: 0.9, 5: 0.8, 12: 0.7}[strategies]
    assert trainings <= 0.6 * 20 * (strategies + 1)
