"""Confidence bounds of a drop, against published figures and by simulation."""

import keras
import numpy as np
import pytest

from keras_strategies.compression.search import _budget_decision, _samples
from keras_strategies.compression.search._budget_metric import BudgetMetric
from tests.compression import common

decide = _budget_decision.decide


def test_tango_bound_is_that_of_the_paper():
    # The ends of his interval are the roots of equation 8 of Tango (1998).
    for lost, gained, n in [(1, 0, 44), (10, 2, 100), (0, 0, 30), (5, 9, 250)]:
        bound = _budget_decision.tango_bound(lost, gained, n, 0.975) / 100
        a, b = 2 * n, -lost - gained + (2 * n - lost + gained) * bound
        q = (np.sqrt(b**2 + 8 * n * gained * bound * (1 - bound)) - b) / (2 * a)
        score = lost - gained - n * bound
        spread = np.sqrt(n * (2 * q + bound * (1 - bound)))
        assert score / spread == pytest.approx(-1.959964, abs=1e-4)
    # Without a changed sample: z^2 / (n + z^2).
    assert _budget_decision.tango_bound(0, 0, 30, 0.95) == pytest.approx(
        100 * 1.644854**2 / (30 + 1.644854**2), rel=1e-5
    )


def test_samples_that_decide_at_best():
    needed = _budget_decision.samples_to_decide
    assert needed(0.5, 0.95) == 539 and needed(2.0, 0.95) == 133
    assert needed(0.0, 0.95) is None


def test_quantiles_of_student():
    for freedom, expected in [(19, 1.7291), (29, 1.6991), (99, 1.6604)]:
        assert _budget_decision.t_quantile(0.95, freedom) == pytest.approx(
            expected, abs=2e-4
        )


def test_a_model_over_its_budget_is_rarely_passed():
    """At a true drop just over the budget, at most about 5 % of decisions pass it."""
    rng = np.random.default_rng(0)
    passed = {"accuracy": 0, "loss": 0}
    runs = 400
    for _ in range(runs):
        # 6 % of the samples are lost and 2 % gained: a drop of 4 points.
        draw = rng.random(200)
        before = ((draw < 0.06) | (draw > 0.2)).astype(float)
        after = ((draw > 0.06) & (draw < 0.08) | (draw > 0.2)).astype(float)
        options = {"confidence": 0.95, "samples": 200}
        result = decide(0.0, before, after, None, mode="max", budget=4.0, **options)
        passed["accuracy"] += result.met
        before = rng.gamma(2.0, size=200)
        after = before * rng.gamma(10, 0.1, size=200) * 1.05
        result = decide(0.0, before, after, None, mode="min", budget=5.0, **options)
        passed["loss"] += result.met
    assert passed["accuracy"] <= 0.075 * runs and passed["loss"] <= 0.075 * runs
    assert min(passed.values()) > 0  # it does not just refuse


def test_more_samples_decide_as_many_as_foretold():
    before, after = np.ones(100), np.ones(100)
    after[:2] = 0
    first = decide(
        2.0, before, after, None, mode="max", budget=4.0, confidence=0.95, samples=100
    )
    assert not first.met and first.reason.startswith("Undecided")
    more = first.samples_needed
    assert 150 < more < 600 and f"{more - 100:,} more" in first.reason
    before = np.ones(more)
    after = np.ones(more)
    after[: round(0.02 * more)] = 0
    assert decide(
        2.0, before, after, None, mode="max", budget=4.0, confidence=0.95, samples=more
    ).met


def test_over_the_budget_no_number_of_samples_helps():
    before, after = np.ones(50), np.zeros(50)
    result = decide(
        100.0, before, after, None, mode="max", budget=4.0, confidence=0.95, samples=50
    )
    assert not result.met and result.samples_needed is None
    assert "over the budget" in result.reason


@pytest.mark.parametrize(
    ("metric", "per_sample"),
    [
        ("accuracy", True),
        ("mae", True),
        (keras.losses.MeanSquaredError(), True),
        (keras.metrics.AUC(), False),
        (keras.metrics.RootMeanSquaredError(), False),
    ],
)
def test_the_bound_of_each_kind_of_metric(metric, per_sample, monkeypatch):
    # A metric of Keras is computed for each resample, twice: as few as will do here.
    monkeypatch.setattr(_budget_decision, "_NUM_RESAMPLES", 100)
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, size=(60, 1)).astype("float32")
    good = np.clip(y * 0.6 + 0.2 + 0.2 * rng.normal(size=y.shape), 0, 1)
    worse = np.clip(y * 0.3 + 0.35 + 0.2 * rng.normal(size=y.shape), 0, 1)
    samples = _samples.Samples(None, y)
    model = common.mlp()
    model.compile("sgd", "mse")
    measure = BudgetMetric(model, metric, "auto")
    values = measure.per_sample(samples, good.astype("float32"))
    assert (values is not None) == per_sample
    if per_sample:
        score = measure.score(samples, good.astype("float32"))
        assert values.mean() == pytest.approx(score, rel=1e-5)
    outputs = good.astype("float32"), worse.astype("float32")
    over = measure.decision(samples, *outputs, 0.5, 0.95)
    assert not over.met and over.bound > over.drop
    # The other way round it is a gain, which is within any budget.
    assert measure.decision(samples, *outputs[::-1], 50.0, 0.95).met


def test_weights_count_in_accuracies():
    before, after = np.ones(100), np.ones(100)
    after[:10] = 0
    options = {"mode": "max", "budget": 4.0, "confidence": 0.95, "samples": 100}
    weight = np.ones(100)
    plain = decide(10.0, before, after, weight, **options)
    assert plain.bound == decide(10.0, before, after, None, **options).bound
    weight[:10] = 0.01
    assert decide(0.1, before, after, weight, **options).bound < 4.0
