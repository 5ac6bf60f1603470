"""Integrated gradients add up; SmoothGrad averages what it says."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers as kl

from keras_strategies import explain
from tests.explain.models import KINDS, images, moved
from tests.markers import slow_on_jax


def _network(activation="relu"):
    stack = [kl.Dense(16, activation=activation), kl.Dense(3, activation="softmax")]
    return moved(keras.Sequential([keras.Input((6,)), *stack]))


X = np.random.default_rng(2).normal(size=(7, 6)).astype("float32")


@pytest.mark.parametrize("activation,most", [("relu", 1e-2), ("tanh", 1e-3)])
def test_completeness_is_reached_by_more_points(activation, most):
    model = _network(activation)
    found, error = explain.integrated_gradients(
        model, X, 1, tolerance=most, max_points=1024, return_error=True, batch_size=50
    )
    assert error.max() <= most
    logits = keras.Model(model.inputs, model.layers[0].output)
    kernel, bias = model.layers[-1].get_weights()

    def score(x):
        return (logits.predict(x, verbose=0) @ kernel + bias)[:, 1]

    difference = score(X) - score(np.zeros_like(X))
    np.testing.assert_allclose(found.sum(axis=1), difference, rtol=2 * most)


def test_the_reported_error_is_the_true_one():
    model = _network("tanh")
    found, error = explain.integrated_gradients(
        model, X, 1, points=1, return_error=True
    )
    exact = explain.integrated_gradients(
        model, X, 1, tolerance=1e-3, max_points=1024, return_error=True
    )[0]
    difference = exact.sum(axis=1)
    expected = np.abs(found.sum(axis=1) - difference) / np.maximum(
        np.abs(difference), 0.01 * np.abs(found).sum(axis=1)
    )
    np.testing.assert_allclose(error, expected, rtol=0.05, atol=2e-3)
    assert error.max() > 0.01


def test_an_error_that_stays_is_a_warning():
    model = _network()
    with pytest.warns(UserWarning, match=r"of 7 samples add up with an error of more"):
        explain.integrated_gradients(model, X, 1, max_points=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explain.integrated_gradients(model, X, 1, points=1)


def test_a_linear_model_is_exact_with_one_point():
    model = keras.Sequential([keras.Input((6,)), kl.Dense(2)])
    found = explain.integrated_gradients(model, X, 1, points=1, baseline=0.5)
    kernel = model.get_weights()[0][:, 1]
    np.testing.assert_allclose(found, (X - 0.5) * kernel, rtol=1e-5, atol=1e-6)


@slow_on_jax
def test_batches_of_points_change_nothing():
    model = moved(KINDS[0]())
    x = images(4)
    whole = explain.integrated_gradients(model, x, 1, points=6, batch_size=64)
    parts = explain.integrated_gradients(model, x, 1, points=6, batch_size=5)
    np.testing.assert_allclose(whole, parts, rtol=1e-3, atol=1e-6)


def test_smooth_grad_of_a_linear_model_is_its_gradient():
    model = keras.Sequential([keras.Input((6,)), kl.Dense(2)])
    kernel = model.get_weights()[0][:, 1]
    smooth = explain.smooth_grad(model, X, 1, samples=3)
    np.testing.assert_allclose(smooth, np.tile(np.abs(kernel), (7, 1)), rtol=1e-5)
    square = explain.smooth_grad(model, X, 1, samples=3, reduction="square")
    np.testing.assert_allclose(square, np.tile(kernel**2, (7, 1)), rtol=1e-5)
    variance = explain.smooth_grad(model, X, 1, samples=3, reduction="variance")
    np.testing.assert_allclose(variance, 0, atol=1e-6)


def test_smooth_grad_has_the_noise_it_says():
    """The variance of gradient times input is that of the noise."""
    model = keras.Sequential([keras.Input((6,)), kl.Dense(1, use_bias=False)])
    kernel = model.get_weights()[0][:, 0]
    found = explain.smooth_grad(
        model,
        X,
        method=explain.grad_times_input,
        samples=150,
        noise=0.2,
        reduction="variance",
    )
    expected = (0.2 * np.ptp(X, axis=1, keepdims=True) * kernel) ** 2
    np.testing.assert_allclose(found, expected, rtol=0.5)


@slow_on_jax
def test_smooth_grad_repeats_and_goes_around_any_method():
    model, x = moved(KINDS[0]()), images(2)
    methods = (explain.saliency, explain.grad_cam, explain.integrated_gradients)
    for method in methods:
        runs = [
            explain.smooth_grad(model, x, method=method, samples=2, seed=seed)
            for seed in (0, 0, 1)
        ]
        assert runs[0].shape == method(model, x).shape
        np.testing.assert_array_equal(runs[0], runs[1])
        assert np.abs(runs[0] - runs[2]).max() > 0


def test_the_target_is_chosen_without_noise():
    """With much noise the highest output changes; the explained one does not."""
    model = keras.Sequential([keras.Input((6,)), kl.Dense(3)])
    kernel = model.get_weights()[0]
    top = model.predict(X, verbose=0).argmax(axis=1)
    found = explain.smooth_grad(model, X, noise=5.0, samples=5)
    np.testing.assert_allclose(found, np.abs(kernel[:, top].T), rtol=1e-5)
