"""`learning_curve` with real trainings."""

import keras
import numpy as np
import pytest

from keras_strategies import ablation
from keras_strategies.ablation import _sizes
from tests.ablation import networks


def curve(build=networks.build, **options):
    given = {"seeds": 2, "epochs": 1, "seed": 0, "verbose": 0, **options}
    return ablation.learning_curve(build, networks.blobs(200), **given)


def test_scores_of_each_size_and_seed():
    seen = []

    def build():
        model = networks.build()
        original = model.fit

        def fit(data, **arguments):
            seen.append(len(data._samples))
            assert arguments["validation_data"] is None
            return original(data, **arguments)

        model.fit = fit
        return model

    found = curve(build, sizes=[20, 40, 70, 120])
    assert found.sizes.tolist() == [20, 40, 70, 120]
    assert found.scores.shape == (4, 2)
    assert found.metric == "accuracy" and found.direction == "max"
    assert seen == [20, 40, 70, 120] * 2
    assert 0 <= found.predicted[2][0] <= found.predicted[2][2] <= 1


def test_sizes_are_spread_and_classes_are_even():
    counts = _sizes._counts(None, 200)
    assert counts.tolist() == [20, 32, 50, 80, 126, 200]
    classes = np.arange(90) % 3
    order = _sizes._order(np.arange(90), classes, np.random.default_rng(0))
    for count in (9, 30, 60):
        shares = np.bincount(classes[order[:count]])
        assert shares.max() - shares.min() <= 2


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"sizes": [10, 20, 30]}, ValueError, "at least 4 different"),
        ({"sizes": [10, 20, 30, 500]}, ValueError, "`sizes` must be an integer in"),
        ({"seeds": 1}, ValueError, "`seeds` must be an integer in"),
        ({"metric": "recall"}, ValueError, "metrics="),
        ({"test_data": networks.blobs(9, classes=1)}, ValueError, "every class"),
        ({"test_data": (np.ones((9, 3)), np.ones(9))}, ValueError, "shape of `data`"),
        ({"metric": 3}, TypeError, "`metric` must be a str"),
        ({"build": networks.build()}, TypeError, "must be a function"),
    ],
)
def test_bad_input(change, error, text):
    with pytest.raises(error, match=text):
        curve(**change)


def test_a_training_that_fails_is_named():
    def build():
        model = networks.build()
        model.compile(keras.optimizers.SGD(0.1), "categorical_crossentropy")
        return model

    with pytest.raises(RuntimeError, match="training on 20 samples failed"):
        curve(build, metric="loss", sizes=[20, 40, 60, 80])
