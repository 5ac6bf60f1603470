"""Pruning that ends below the sparsity it aims at says so once."""

import re
import warnings

import keras
import numpy as np
import pytest

from keras_strategies import compression

X, Y = np.ones((8, 8), "float32"), np.zeros((8, 1), "float32")


def pruned(schedule, **arguments):
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(50, name="first")])
    model.add(keras.layers.Dense(1))
    model.compile(keras.optimizers.SGD(0.01), loss="mse")
    return compression.prune(model, schedule, include="first/", **arguments)


def messages(action):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        action()
    return [str(w.message) for w in caught if "Pruning" in str(w.message)]


def fit(model, steps):
    model.fit(X, Y, batch_size=8, epochs=steps, verbose=0)


Polynomial = compression.PolynomialSparsity


@pytest.mark.parametrize(
    ("schedule", "arguments", "figures", "reason"),
    [
        (Polynomial(0.0, 0.8, 9, 20), {}, ("0.0%", "80.0%"), "begins at step 9"),
        (
            Polynomial(0.2, 0.8, 0, 20, frequency=1),
            {},
            ("%", "80.0%"),
            "ends at step 20 .* has made 4 steps",
        ),
        (
            Polynomial(0.2, 0.8, 0, 3),
            {},
            ("20.0%", "80.0%"),
            "renewed last at step 0: every 100 steps",
        ),
        (
            compression.ConstantSparsity(0.5, 9),
            {"m_by_n": (3, 4)},
            ("0.0%", "75.0%"),
            "begins at step 9",
        ),
    ],
    ids=["never_begins", "too_short", "frequency", "m_by_n"],
)
def test_a_fit_names_figure_and_reason_once(schedule, arguments, figures, reason):
    model = pruned(schedule, **arguments)
    (message,) = messages(lambda: fit(model, 4))
    assert all(figure in message for figure in figures)
    assert re.search(reason, message)
    assert not messages(lambda: fit(model, 1))
    assert not messages(lambda: compression.strip(model))
    assert "fit" not in model.__dict__


def test_a_schedule_that_is_done_says_nothing():
    model = pruned(Polynomial(0.2, 0.8, 0, 4, frequency=2))
    assert not messages(lambda: fit(model, 5))
    assert not messages(lambda: compression.strip(model))
    fixed = pruned(compression.ConstantSparsity(0.5, 0))
    assert not messages(lambda: fit(fixed, 2))


def test_zeros_of_an_earlier_pruning_count():
    model = pruned(compression.ConstantSparsity(0.5, 0))
    fit(model, 2)
    compression.strip(model)
    model.compile(keras.optimizers.SGD(0.01), loss="mse")
    compression.prune(model, Polynomial(0.0, 0.5, 9, 20), include="first/")
    assert not messages(lambda: fit(model, 2))


def test_strip_says_it_for_a_loop_of_ones_own():
    model = pruned(compression.ConstantSparsity(0.5, 9))
    for _ in range(2):
        model.train_on_batch(X, Y)
    (message,) = messages(lambda: compression.strip(model))
    assert "has made 2 steps" in message
    untrained = pruned(compression.ConstantSparsity(0.5, 9))
    assert not messages(lambda: compression.strip(untrained))
