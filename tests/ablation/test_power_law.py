"""The fit of a learning curve and its extrapolation."""

import numpy as np
import pytest

from keras_strategies.ablation import LearningCurve
from keras_strategies.ablation._statistics.power_law import fit, forecast

SIZES = np.geomspace(100, 1000, 6).round()


def drawn(truth, rng, seeds=3):
    noise = 0.01 * (SIZES / 1000) ** -0.4
    return truth(SIZES)[:, np.newaxis] + rng.normal(size=(6, seeds)) * noise[:, None]


@pytest.mark.parametrize(("sign", "best"), [(-1, 1.0), (1, 0.0)])
def test_the_curve_itself_is_found(sign, best):
    limit = 0.9 if sign < 0 else 0.1
    points = np.repeat(SIZES, 2)
    curve = fit(points, limit + sign * 2 * points**-0.5, sign, best)
    assert curve.limit == pytest.approx(limit, abs=1e-3)
    assert curve.exponent == pytest.approx(0.5, abs=0.01)
    assert curve(4000.0) == pytest.approx(limit + sign * 2 * 4000**-0.5, abs=1e-4)


def test_the_limit_is_not_better_than_the_best():
    scores = np.array([0.2, 0.4, 0.6, 0.8])
    curve = fit(np.array([100.0, 200, 400, 800]), scores, -1, 1.0)
    assert curve.limit <= 1.0 + 1e-9


@pytest.mark.parametrize(
    ("truth", "helps"),
    [
        (lambda n: 0.95 - 2 * n**-0.5, True),
        (lambda n: 0.9 + 0 * n, False),
    ],
)
def test_intervals_hold_the_truth(truth, helps):
    rng = np.random.default_rng(0)
    inside, right = 0, 0
    studies = 12
    for number in range(studies):
        scores = drawn(truth, rng)
        seen = forecast(SIZES, scores, np.array([2000.0, 4000.0]), -1, 1.0, number)
        values = truth(np.array([2000.0, 4000.0]))
        inside += np.all((seen.low <= values) & (values <= seen.high))
        right += (seen.gain_low[0] > 0) if helps else (seen.gain_high[0] < 0.01)
    assert inside >= studies - 2
    assert right >= studies - 3


def test_learning_curve_says_what_more_data_would_give():
    rng = np.random.default_rng(1)
    steep = LearningCurve(SIZES, drawn(lambda n: 0.95 - 2 * n**-0.5, rng), "acc", "max")
    assert steep.more_data_helps is True
    low, middle, high = steep.predicted[2]
    assert low < middle < high
    assert steep.check["inside"]
    assert "More data would help" in steep.table()
    flat = LearningCurve(SIZES, drawn(lambda n: 0.9 + 0 * n, rng), "acc", "max")
    assert flat.more_data_helps is False
    assert "would not help" in str(flat)


def test_loss_falls():
    rng = np.random.default_rng(2)
    curve = LearningCurve(SIZES, drawn(lambda n: 0.3 + 3 * n**-0.5, rng), "loss", "min")
    assert curve.more_data_helps is True
    assert curve.gain[2][1] > 0
    assert curve.predicted[4][1] < curve.predicted[2][1] < curve.scores[-1].mean()


def test_a_sudden_rise_is_outside_the_check():
    scores = np.full((6, 3), 0.5) + np.array([[-0.002, 0, 0.002]])
    scores[-1] += 0.3
    curve = LearningCurve(SIZES, scores, "acc", "max")
    assert not curve.check["inside"]
    assert curve._warnings()


def test_report_and_picture(tmp_path):
    pytest.importorskip("matplotlib")
    rng = np.random.default_rng(3)
    curve = LearningCurve(SIZES, drawn(lambda n: 0.95 - 2 * n**-0.5, rng), "acc", "max")
    assert curve.plot().get_xlabel() == "training samples"
    curve.save_report(tmp_path / "curve.html")
    assert "data:image/png" in (tmp_path / "curve.html").read_text()
    assert curve.to_dict()["predicted"]["2"]


@pytest.mark.parametrize(
    ("sizes", "shape", "direction", "text"),
    [
        ([10, 20, 30], (3, 2), "max", "at least 4 increasing"),
        ([10, 30, 20, 40], (4, 2), "max", "at least 4 increasing"),
        (SIZES, (len(SIZES), 1), "max", "at least 2 seeds"),
        (SIZES, (2, 3), "max", "a row for each size"),
        (SIZES, (len(SIZES), 3), "up", "`direction` must be one of"),
    ],
)
def test_bad_curves(sizes, shape, direction, text):
    with pytest.raises(ValueError, match=text):
        LearningCurve(sizes, np.ones(shape), "acc", direction)


def test_scores_that_are_not_finite():
    scores = np.ones((len(SIZES), 2))
    scores[1, 1] = np.nan
    with pytest.raises(ValueError, match="must be finite"):
        LearningCurve(SIZES, scores, "acc", "max")
