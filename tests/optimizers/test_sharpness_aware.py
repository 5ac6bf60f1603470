"""SharpnessAware against NumPy, in every mode, saved, and with state in the layers."""

import keras
import numpy as np
import pytest

from keras_strategies import optimizers

BACKEND = keras.backend.backend()
RNG = np.random.default_rng(0)
X = RNG.normal(size=(16, 3)).astype("float32")
Y = RNG.normal(size=(16, 2)).astype("float32")
KERNEL = RNG.normal(size=(3, 2)).astype("float32")
BIAS = np.float32([0.3, -0.2])


def linear(**arguments):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.layers[0].set_weights([KERNEL, BIAS])
    wrapped = optimizers.SharpnessAware(model, **arguments)
    wrapped.compile(keras.optimizers.SGD(0.1), loss="mse")
    return wrapped


def gradients(kernel, bias):
    error = 2 * (X @ kernel + bias - Y) / Y.size
    return X.T @ error, error.sum(axis=0)


def norm(arrays):
    return np.sqrt(sum((array**2).sum() for array in arrays))


@pytest.mark.parametrize("adaptive", (False, True), ids=("sam", "asam"))
def test_a_step_equals_the_formula(adaptive):
    wrapped = linear(rho=0.5, adaptive=adaptive)
    history = wrapped.fit(X, Y, batch_size=16, verbose=0).history
    weights = [KERNEL.astype("float64"), BIAS.astype("float64")]
    first = gradients(*weights)
    sizes = [np.abs(KERNEL) + 0.01 if adaptive else 1.0, 1.0]
    scaled = [t * g for t, g in zip(sizes, first, strict=True)]
    moved = [
        w + 0.5 * t * s / norm(scaled)
        for w, t, s in zip(weights, sizes, scaled, strict=True)
    ]
    second = gradients(*moved)
    for w, g, found in zip(weights, second, wrapped.get_weights(), strict=True):
        np.testing.assert_allclose(found, w - 0.1 * g, rtol=1e-4, atol=1e-6)
    plain = [w - 0.1 * g for w, g in zip(weights, first, strict=True)]
    assert np.abs(plain[0] - wrapped.get_weights()[0]).max() > 1e-3
    loss = ((X @ KERNEL + BIAS - Y) ** 2).mean()
    np.testing.assert_allclose(history["loss"], [loss], rtol=1e-5)


def test_moving_statistics_and_random_numbers_are_those_of_one_pass():
    def build():
        keras.utils.set_random_seed(3)
        return keras.Sequential(
            [
                keras.Input((3,)),
                keras.layers.BatchNormalization(),
                keras.layers.Dropout(0.5, seed=7),
                keras.layers.Dense(2),
            ]
        )

    plain, inner = build(), build()
    wrapped = optimizers.SharpnessAware(inner, rho=0.1)
    for model in (plain, wrapped):
        model.compile(keras.optimizers.SGD(0.0), loss="mse")
        model.fit(X, Y, batch_size=4, epochs=2, shuffle=False, verbose=0)
    for expected, found in zip(plain.variables, inner.variables, strict=True):
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(found),
            keras.ops.convert_to_numpy(expected),
            rtol=1e-6,
        )


MODES = {"xla": {"jit_compile": True}, "steps": {"steps_per_execution": 2}}


@pytest.mark.parametrize("mode", [] if BACKEND == "torch" else MODES)
def test_compiled_steps_equal_single_ones(mode):
    expected = linear(rho=0.2)
    found = linear(rho=0.2)
    found.compile(keras.optimizers.SGD(0.1), loss="mse", **MODES[mode])
    for model in (expected, found):
        model.fit(X, Y, batch_size=4, shuffle=False, verbose=0)
    for a, b in zip(expected.get_weights(), found.get_weights(), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-6)


def test_mixed_precision_skips_steps_that_overflow_and_learns_after():
    keras.config.set_dtype_policy("mixed_float16")
    wrapped = linear(rho=0.1)
    assert isinstance(wrapped.optimizer, keras.optimizers.LossScaleOptimizer)
    for _ in range(3):
        wrapped.fit(X, Y, batch_size=4, verbose=0)
    weights = wrapped.get_weights()
    assert np.isfinite(weights[0]).all() and np.abs(weights[0] - KERNEL).max() > 0
    wrapped.optimizer.dynamic_scale.assign(1e38)
    wrapped.fit(X, Y, batch_size=16, verbose=0)
    for before, after in zip(weights, wrapped.get_weights(), strict=True):
        np.testing.assert_array_equal(after, before)


def test_a_loaded_model_goes_on_alike(tmp_path):
    wrapped = linear(rho=0.3, adaptive=True)
    wrapped.compile(keras.optimizers.Adam(0.05), loss="mse", metrics=["mae"])
    wrapped.fit(X, Y, batch_size=8, shuffle=False, verbose=0)
    wrapped.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert (loaded.rho, loaded.adaptive) == (0.3, True)
    expected = wrapped.model.predict(X, verbose=0)
    np.testing.assert_allclose(loaded.predict(X, verbose=0), expected, rtol=1e-5)
    for model in (wrapped, loaded):
        model.fit(X, Y, batch_size=8, shuffle=False, verbose=0)
    for a, b in zip(wrapped.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-6)


def test_sample_weights_regularizers_and_frozen_weights_count():
    layer = keras.layers.Dense(2, kernel_regularizer="l2")
    frozen = keras.layers.Dense(3, trainable=False)
    inner = keras.Sequential([keras.Input((3,)), frozen, layer])
    wrapped = optimizers.SharpnessAware(inner)
    wrapped.compile("sgd", loss="mse", metrics=["mae"])
    before = frozen.get_weights()
    penalty = 0.01 * (layer.get_weights()[0] ** 2).sum()
    history = wrapped.fit(
        X, Y, batch_size=16, sample_weight=np.zeros(16), verbose=0
    ).history
    np.testing.assert_allclose(history["loss"], [penalty], rtol=1e-4)
    np.testing.assert_array_equal(frozen.get_weights()[0], before[0])
    assert "mae" in history


def test_bad_arguments_are_refused():
    with pytest.raises(TypeError, match="Keras model"):
        optimizers.SharpnessAware(keras.layers.Dense(2))
    with pytest.raises(ValueError, match="rho"):
        optimizers.SharpnessAware(linear().model, rho=0)
