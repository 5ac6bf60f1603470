"""RAdam, AdaBelief and Lookahead against NumPy, saved and in every mode."""

import keras
import numpy as np
import pytest

from keras_strategies import optimizers

BACKEND = keras.backend.backend()
RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 4)).astype("float32")
Y = RNG.normal(size=(32, 2)).astype("float32")
GRADIENTS = RNG.normal(size=(12, 3)).astype("float32")
START = np.float32([0.5, -1.0, 2.0])

MAKERS = {
    "radam": lambda: optimizers.RAdam(0.05),
    "ada_belief": lambda: optimizers.AdaBelief(0.05, epsilon=1e-8),
    "lookahead": lambda: optimizers.Lookahead(keras.optimizers.Adam(0.05), 3),
    "ranger": lambda: optimizers.Lookahead(optimizers.RAdam(0.05)),
}


def path(optimizer, gradients=GRADIENTS):
    """The weights after each step."""
    weight, found = keras.Variable(START), []
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [weight])
        found.append(keras.ops.convert_to_numpy(weight).copy())
    return np.array(found)


def radam(rate, b1=0.9, b2=0.999, epsilon=1e-7):
    w, m, v = START.astype("float64"), 0.0, 0.0
    longest = 2 / (1 - b2) - 1
    for t, g in enumerate(GRADIENTS.astype("float64"), start=1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        rho = longest - 2 * t * b2**t / (1 - b2**t)
        update = m / (1 - b1**t)
        if rho > 5:
            r = (rho - 4) * (rho - 2) * longest / ((longest - 4) * (longest - 2) * rho)
            update = np.sqrt(r) * update / (np.sqrt(v / (1 - b2**t)) + epsilon)
        w = w - rate * update
        yield w


def ada_belief(rate, b1=0.9, b2=0.999, epsilon=1e-8):
    w, m, s = START.astype("float64"), 0.0, 0.0
    for t, g in enumerate(GRADIENTS.astype("float64"), start=1):
        m = b1 * m + (1 - b1) * g
        s = b2 * s + (1 - b2) * (g - m) ** 2 + epsilon
        deviation = np.sqrt(s / (1 - b2**t))
        w = w - rate * m / (1 - b1**t) / (deviation + epsilon)
        yield w


def test_radam_is_plain_momentum_first_and_rectified_later():
    expected = np.array(list(radam(0.05)))
    np.testing.assert_allclose(path(MAKERS["radam"]()), expected, rtol=1e-3, atol=1e-5)
    wrong = np.abs(path(keras.optimizers.Adam(0.05)) - expected).max()
    assert wrong > 0.01


def test_ada_belief():
    expected = np.array(list(ada_belief(0.05)))
    found = path(MAKERS["ada_belief"]())
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_lookahead_goes_half_of_the_way():
    found = path(optimizers.Lookahead(keras.optimizers.SGD(0.1), 3, 0.25))
    w = slow = START.astype("float64")
    for t, g in enumerate(GRADIENTS, start=1):
        w = w - 0.1 * g
        if t % 3 == 0:
            w = slow = slow + 0.25 * (w - slow)
        np.testing.assert_allclose(found[t - 1], w, rtol=1e-5)


def test_lookahead_under_gradient_accumulation_counts_updates():
    inner = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
    found = path(optimizers.Lookahead(inner, 2, 0.5), GRADIENTS[:4])
    means = GRADIENTS[:4].reshape(2, 2, 3).mean(axis=1)
    np.testing.assert_allclose(found[0], START)
    np.testing.assert_allclose(found[1], START - 0.1 * means[0], rtol=1e-5)
    expected = START - 0.5 * 0.1 * means.sum(axis=0)
    np.testing.assert_allclose(found[3], expected, rtol=1e-5)


def model_with(optimizer, **arguments):
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.compile(optimizer, loss="mse", **arguments)
    return model


def fit(model, epochs, callbacks=()):
    return model.fit(
        X,
        Y,
        batch_size=8,
        epochs=epochs,
        shuffle=False,
        callbacks=list(callbacks),
        verbose=0,
    )


@pytest.mark.parametrize("name", MAKERS)
def test_a_loaded_model_goes_on_as_if_never_interrupted(name, tmp_path):
    arguments = {} if BACKEND == "torch" else {"jit_compile": True}
    whole = model_with(MAKERS[name](), **arguments)
    # Three of five epochs are in the file.
    path = tmp_path / "model.keras"
    save = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: epoch == 2 and whole.save(path)
    )
    losses = fit(whole, 5, [save]).history["loss"]
    assert losses[-1] < losses[0]
    second = keras.models.load_model(path)
    assert second.optimizer.get_config() == whole.optimizer.get_config()
    assert int(keras.ops.convert_to_numpy(second.optimizer.iterations)) == 12
    fit(second, 2)
    for expected, got in zip(whole.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("name", ["radam", "ranger"])
def test_mixed_precision_and_weight_decay(name):
    keras.config.set_dtype_policy("mixed_float16")
    model = model_with(MAKERS[name]())
    assert np.isfinite(fit(model, 2).history["loss"]).all()
    decayed = optimizers.RAdam(0.1, weight_decay=0.5)
    np.testing.assert_allclose(
        path(decayed, np.zeros((1, 3), "float32"))[0], START * 0.95, rtol=1e-5
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optimizers.RAdam(beta_2=0.5), "beta_2"),
        (lambda: optimizers.AdaBelief(beta_1=1.0), "beta_1"),
        (lambda: optimizers.AdaBelief(epsilon=0.0), "epsilon"),
        (lambda: optimizers.Lookahead("sgd", 0), "sync_period"),
        (lambda: optimizers.Lookahead("sgd", 2, 1.5), "slow_step_size"),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
