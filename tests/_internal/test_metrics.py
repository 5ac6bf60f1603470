"""The direction of a metric, in one place."""

import keras
import numpy as np
import pytest

from keras_strategies._internal.metrics import metric_direction

LOWER = (
    *("MeanSquaredError", "RootMeanSquaredError", "MeanAbsoluteError"),
    *("MeanAbsolutePercentageError", "MeanSquaredLogarithmicError", "LogCoshError"),
    *("KLDivergence", "Poisson", "Hinge", "SquaredHinge", "CategoricalHinge"),
    *("BinaryCrossentropy", "CategoricalCrossentropy"),
    *("SparseCategoricalCrossentropy", "FalsePositives", "FalseNegatives"),
)
HIGHER = (
    *("Accuracy", "BinaryAccuracy", "CategoricalAccuracy", "AUC", "Precision"),
    *("SparseCategoricalAccuracy", "TopKCategoricalAccuracy", "Recall", "R2Score"),
    *("F1Score", "CosineSimilarity", "TruePositives", "PearsonCorrelation"),
)


@pytest.mark.parametrize("name", LOWER)
def test_less_is_better(name):
    kind = getattr(keras.metrics, name)
    assert metric_direction(kind()) == metric_direction(kind) == "min"


@pytest.mark.parametrize("name", HIGHER)
def test_more_is_better(name):
    kind = getattr(keras.metrics, name)
    assert metric_direction(kind()) == metric_direction(kind) == "max"


@pytest.mark.parametrize(
    ("name", "direction"),
    [
        *((n, "min") for n in ("mse", "mae", "hinge", "kl_divergence", "log_cosh")),
        *((n, "min") for n in ("loss", "val_loss", "head_loss", "crossentropy", "ce")),
        *((n, "max") for n in ("acc", "accuracy", "val_accuracy", "auc", "recall")),
        ("huber", "min"),
    ],
)
def test_names(name, direction):
    assert metric_direction(name) == direction


@pytest.mark.parametrize(
    "function", ["huber", "dice", "hinge", "poisson", "cosine_similarity"]
)
def test_functions_of_losses_are_minimized(function):
    assert metric_direction(getattr(keras.losses, function)) == "min"


def test_losses_and_functions_of_metrics():
    assert metric_direction(keras.losses.Huber()) == "min"
    assert metric_direction(keras.losses.CategoricalCrossentropy) == "min"
    assert metric_direction(keras.metrics.binary_accuracy) == "max"
    assert metric_direction(keras.metrics.mean_squared_error) == "min"


def error_free(y_true, y_pred):
    """A function whose name says the opposite of what a guess would."""
    return keras.ops.mean(keras.ops.equal(y_true, keras.ops.round(y_pred)))


@pytest.mark.parametrize(
    "metric",
    [
        error_free,
        keras.metrics.MeanMetricWrapper(error_free, name="error"),
        keras.metrics.Mean(name="accuracy"),
        "no_such_metric",
        "error_free",
    ],
)
def test_an_unknown_direction_is_refused(metric):
    with pytest.raises(ValueError, match="whether less or more"):
        metric_direction(metric)


def test_log_entries_are_looked_up_in_the_model():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="head")])
    metrics = [error_free, keras.metrics.AUC(name="area"), "mae"]
    model.compile("sgd", "mse", metrics=metrics)
    model.evaluate(np.ones((1, 2)), np.ones((1, 1)), verbose=0)
    for name in ("area", "val_area"):
        assert metric_direction(name, model=model) == "max"
    assert metric_direction("val_mae", model=model) == "min"
    for name in ("error_free", "val_error_free", "other"):
        with pytest.raises(ValueError, match="Received: metric="):
            metric_direction(name, model=model)
