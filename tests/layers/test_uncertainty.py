"""Dropout at inference: what is random, and mean and deviation of draws."""

import keras
import numpy as np
import pytest

from keras_strategies import layers

L = keras.layers


def _model(*dropping):
    """The sum of 100 inputs after the given layers, so that moments are known."""
    inputs = keras.Input((100,))
    x = inputs
    for layer in dropping:
        x = layer(x)
    outputs = L.Dense(1, kernel_initializer="ones", use_bias=False)(x)
    return keras.Model(inputs, [outputs, L.Identity()(inputs)])


X = np.ones((64, 100), "float32")


@pytest.mark.parametrize(
    "make", [lambda: layers.MonteCarloDropout(0.2), lambda: L.Dropout(0.2)]
)
def test_moments_of_a_sum_of_dropped_ones(make):
    model = _model(make(), L.BatchNormalization())
    before = model.get_weights()
    (mean, same), (deviation, none) = layers.predict_with_uncertainty(
        model, X, samples=12, batch_size=32
    )
    scale = np.sqrt(1 / 1.001)  # the untrained normalization
    assert mean.shape == (64, 1) and mean.dtype == "float32"
    # Sum of 100 times Bernoulli(0.8) / 0.8: mean 100, deviation sqrt(100 * 0.25) = 5.
    assert mean.mean() == pytest.approx(100 * scale, abs=1)
    assert deviation.mean() == pytest.approx(5 * scale, abs=0.5)
    np.testing.assert_array_equal(same, X)
    np.testing.assert_array_equal(none, 0)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.tensorflow
def test_two_draws_by_hand():
    model = _model(layers.MonteCarloDropout(0.5, seed=3))
    again = _model(layers.MonteCarloDropout(0.5, seed=3))
    draws = [again.predict(X, verbose=0)[0] for _ in range(2)]
    assert (draws[0] != draws[1]).any()
    (mean, _), (deviation, _) = layers.predict_with_uncertainty(model, X, samples=2)
    np.testing.assert_allclose(mean, np.mean(draws, 0), rtol=1e-5)
    np.testing.assert_allclose(deviation, np.std(draws, 0, ddof=1), rtol=1e-4)


@pytest.mark.tensorflow
def test_only_what_was_made_for_it_is_random():
    model = _model(L.Dropout(0.5), layers.MonteCarloDropout(0.0))
    deviations = layers.predict_with_uncertainty(model, X, samples=2)[1]
    np.testing.assert_array_equal(deviations[0], 0)


@pytest.mark.tensorflow
def test_dropping_layers_inside_models_are_found():
    inner = keras.Sequential([keras.Input((100,)), layers.StochasticDepth(0.5)])
    dropping = layers.ConcreteDropout(L.Dense(100), rate=0.4)
    for layer in (inner, dropping):
        model = _model(layer)
        deviations = layers.predict_with_uncertainty(model, X[:2], samples=6)[1]
        assert (deviations[0] > 0).all()


def test_models_that_cannot_be_random_are_refused():
    with pytest.raises(ValueError, match="must have a dropout layer"):
        layers.predict_with_uncertainty(_model(), X)

    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.drop = L.Dropout(0.5)

        def call(self, x):
            return self.drop(x)

    with pytest.raises(
        ValueError, match="needs MonteCarloDropout.*subclassed and has no graph"
    ):
        layers.predict_with_uncertainty(Subclassed(), X)
    with pytest.raises(ValueError, match="readable several times"):
        layers.predict_with_uncertainty(_model(L.Dropout(0.5)), iter([X]))
