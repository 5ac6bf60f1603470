"""Explanations by changed inputs: closed forms, and the figures of Captum."""

import itertools
import math

import keras
import numpy as np
import pytest
from keras import layers as kl

from keras_strategies import explain
from tests.explain.models import (
    images,
    moved,
    reference,
    reference_input,
    two_inputs,
)

# Captum 0.9.0, Occlusion with windows of 2 x 2 and stride 1 on the network of
# tests/explain/models.py, output 1.
OCCLUSION = [
    [-0.2441943, -0.0705015, 0.1629515, 0.2227118],
    [-0.2816252, -0.0345514, 0.181669, 0.1508157],
    [0.0142781, 0.1612754, 0.0622062, -0.1838603],
    [0.3476125, 0.3211522, -0.0759741, -0.4466401],
]

X = np.random.default_rng(2).normal(size=(3, 4)).astype("float32")


def _network(columns=4):
    stack = [kl.Dense(8, activation="tanh"), kl.Dense(3, activation="softmax")]
    return moved(keras.Sequential([keras.Input((columns,)), *stack]))


def _logits(model, x):
    hidden = np.tanh(x @ model.get_weights()[0] + model.get_weights()[1])
    return hidden @ model.get_weights()[2] + model.get_weights()[3]


def test_occlusion_as_captum():
    model, x = reference(), reference_input()
    found = explain.occlusion(model, x, 1, window=2, stride=1)
    np.testing.assert_allclose(found[0, ..., 0], OCCLUSION, atol=2e-6)


def test_occlusion_of_columns_by_hand():
    model = _network()
    found = explain.occlusion(model, X, 1, window=1, baseline=0.5, batch_size=5)
    before = _logits(model, X)[:, 1]
    for column in range(4):
        changed = X.copy()
        changed[:, column] = 0.5
        expected = before - _logits(model, changed)[:, 1]
        np.testing.assert_allclose(found[:, column], expected, rtol=1e-4, atol=1e-5)


def test_the_last_window_ends_at_the_edge():
    model, x = moved(reference()), reference_input()
    found = explain.occlusion(model, x, 0, window=3, stride=3)
    assert found.shape == x.shape
    score = model.predict(x, verbose=0)[0, 0]
    hidden = x.copy()
    hidden[:, 1:, 1:] = 0
    expected = score - model.predict(hidden, verbose=0)[0, 0]
    assert found[0, 3, 3, 0] == pytest.approx(expected, abs=1e-5)


def test_occlusion_of_one_of_two_inputs():
    model = moved(two_inputs())
    x = [images(2, 8, 1), np.random.default_rng(1).random((2, 4)).astype("float32")]
    with pytest.raises(ValueError, match="input_name"):
        explain.occlusion(model, x, 0)
    found = explain.occlusion(model, x, 0, window=1, input_name="table")
    kernel = model.layers[-1].get_weights()[0][-4:, 0]
    np.testing.assert_allclose(found, x[1] * kernel, rtol=1e-3, atol=1e-5)
    assert explain.rise(model, x, 0, masks=4, input_name="image").shape == x[0].shape
    with pytest.raises(ValueError, match="must name an input"):
        explain.occlusion(model, x, 0, input_name="other")


@pytest.mark.parametrize(
    "options",
    [
        {"window": 0},
        {"window": 5},
        {"window": 2, "stride": 3},
        {"window": (2, 2, 2)},
        {"baseline": np.zeros(7)},
        {"baseline": np.nan},
    ],
)
def test_bad_windows(options):
    with pytest.raises(ValueError, match="`(window|stride|baseline)`"):
        explain.occlusion(reference(), reference_input(), 0, **options)


def test_rise_finds_the_pixels_that_count():
    """The score is the sum over a patch: all of its pixels count alike."""
    model = keras.Sequential([keras.Input((12, 12, 1)), kl.Flatten(), kl.Dense(1)])
    weights = np.zeros((12, 12), "float32")
    weights[2:5, 6:9] = 1
    model.set_weights([weights.reshape(-1, 1), np.zeros(1)])
    x = np.ones((1, 12, 12, 1), "float32")
    maps = explain.rise(model, x, masks=1500, cells=4, batch_size=500)[0, ..., 0]
    far = maps[8:, :3]  # no mask covers a cell there and one of the patch
    assert maps[weights > 0].min() > far.mean() + 5 * far.std()
    # Elsewhere the mean score, which is half of the nine pixels.
    assert maps[10, 1] == pytest.approx(4.5, rel=0.1)
    again = explain.rise(model, x, masks=5, cells=4, seed=1)
    other = explain.rise(model, x, masks=5, cells=4, seed=2)
    np.testing.assert_array_equal(
        again, explain.rise(model, x, masks=5, cells=4, seed=1, batch_size=2)
    )
    assert np.abs(again - other).max() > 0


def test_masks_of_rise_show_the_share_they_say():
    from keras_strategies.explain._perturbations.rise import random_masks

    masks = random_masks(np.random.default_rng(0), 2000, (3, 4), (10, 11), 0.3)
    assert masks.shape == (2000, 10, 11)
    np.testing.assert_allclose(masks.mean(axis=0), 0.3, atol=0.05)


def test_bad_masks():
    for options in ({"masks": 0}, {"keep": 1.0}, {"cells": 0}, {"cells": (2,)}):
        with pytest.raises(ValueError):
            explain.rise(reference(), reference_input(), 0, **options)
    with pytest.raises(ValueError, match="Use kernel_shap"):
        explain.rise(_network(), X, 0)


def test_kernel_shap_gives_the_shapley_values():
    """By all subsets of the columns, as their definition says."""
    model, background = _network(), X[1:] + 0.5
    state = np.random.get_state()[1].copy()
    found = explain.kernel_shap(model, X[:1], 1, background=background)
    np.testing.assert_array_equal(np.random.get_state()[1], state)

    def value(subset):
        rows = background.copy()
        rows[:, list(subset)] = X[0, list(subset)]
        return _logits(model, rows)[:, 1].mean()

    for column in range(4):
        others = [c for c in range(4) if c != column]
        expected = sum(
            math.factorial(k)
            * math.factorial(3 - k)
            / math.factorial(4)
            * (value((*subset, column)) - value(subset))
            for k in range(4)
            for subset in itertools.combinations(others, k)
        )
        assert found[0, column] == pytest.approx(expected, abs=1e-4)


def test_kernel_shap_of_each_sample_explains_its_own_class():
    model, background = _network(), X[:2]
    found = explain.kernel_shap(model, X, background=background)
    logits = _logits(model, X)
    top = logits.argmax(axis=1)
    difference = logits[range(3), top] - _logits(model, background)[:, top].mean(0)
    np.testing.assert_allclose(found.sum(axis=1), difference, atol=1e-3)


def test_kernel_shap_is_for_tables():
    with pytest.raises(ValueError, match="one table"):
        explain.kernel_shap(reference(), reference_input(), 0, background=X)
    with pytest.raises(ValueError, match="columns of the inputs"):
        explain.kernel_shap(_network(), X, 0, background=X[:, :2])


def test_permutation_importance_of_a_linear_model():
    """Shuffling column i of y = x w loses 2 w_i^2 / sum(w^2) of R2."""
    model = keras.Sequential([keras.Input((3,)), kl.Dense(1)])
    weights = np.array([2.0, 0.0, 1.0])
    model.set_weights([weights[:, None], np.zeros(1)])
    x = np.random.default_rng(0).normal(size=(4000, 3)).astype("float32")
    report = explain.permutation_importance(
        model, x, x @ weights, column_names=["a", "b", "c"], repeats=3
    )
    assert [row["column"] for row in report.rows] == ["a", "c", "b"]
    np.testing.assert_allclose(report.importances, [1.6, 0, 0.4], atol=0.06)
    assert report.score == pytest.approx(1, abs=1e-5)
    assert "r2 of the data as they are: 1" in str(report)
    assert report.to_dict()["metric"] == "r2"


def test_permutation_importance_of_classes():
    sigmoid = keras.Sequential([keras.Input((2,)), kl.Dense(1, activation="sigmoid")])
    logit = keras.Sequential([keras.Input((2,)), kl.Dense(1)])
    softmax = keras.Sequential([keras.Input((2,)), kl.Dense(2, activation="softmax")])
    x = np.random.default_rng(0).normal(size=(500, 2)).astype("float32")
    y = (x[:, 0] > 0).astype(int)
    for model, targets in (
        (sigmoid, y),
        (logit, y[:, None]),
        (softmax, y),
        (softmax, np.eye(2)[y]),
    ):
        kernel = np.zeros(model.get_weights()[0].shape)
        kernel[0, -1] = 3
        model.set_weights([kernel, np.zeros(kernel.shape[1])])
        report = explain.permutation_importance(model, x, targets, repeats=2)
        assert report.metric == "accuracy" and report.score == 1
        np.testing.assert_allclose(report.importances, [0.5, 0], atol=0.06)
    with pytest.raises(ValueError, match="several labels"):
        explain.permutation_importance(softmax, x, np.ones((500, 2), int))
    with pytest.raises(ValueError, match="a target for each sample"):
        explain.permutation_importance(softmax, x, y[:3])
    with pytest.raises(ValueError, match="a name for each column"):
        explain.permutation_importance(softmax, x, y, column_names=["a"])

    def negative_error(targets, predictions):
        return -float(np.abs(targets - predictions[:, 1]).mean())

    report = explain.permutation_importance(softmax, x, y, metric=negative_error)
    assert report.metric == "negative_error" and report.score < 0
