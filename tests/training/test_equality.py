"""A fit in blocks ends with the weights, metrics and history of plain `fit`."""

import functools

import keras
import numpy as np
import pytest

from keras_strategies.training._blocks import row_order
from keras_strategies.training._blocks.backend import device_module
from keras_strategies.training._launches.step_block import BlockSplit
from tests.training.models import (
    BACKEND,
    BATCH,
    EVEN,
    SETTINGS,
    candidates,
    data,
    dear,
    fit,
    plan_for,
)

CANDIDATES = candidates()
EPOCH = CANDIDATES[1:2]  # the cheapest to compile
DEAR_ON_JAX = [dear("jax", name) for name in EPOCH]


@functools.cache
def plain(setting):
    make, arguments = SETTINGS[setting]
    return fit(make, arguments())


def assert_same(model, history, setting):
    expected, expected_history = plain(setting)
    assert int(model.optimizer.iterations) == int(expected.optimizer.iterations)
    for value, wanted in zip(model.weights, expected.weights, strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-4, atol=1e-5)
    assert list(history) == list(expected_history)
    for name, values in history.items():
        np.testing.assert_allclose(
            values, expected_history[name], rtol=1e-4, atol=1e-5, err_msg=name
        )


# XLA has other random numbers than the graph: no dropout in "branches".
PAIRS = {
    "tensorflow": [
        dear("all", "graph-block", "class weights"),
        dear("none", "graph-epoch", "sample weights"),
        dear("all", "xla-epoch", "branches"),
        dear("none", "graph-block", "branches"),
    ],
    "jax": [
        dear("none", "xla-epoch", "sample weights"),
        dear("all", "xla-epoch", "class weights"),
        dear("all", "xla-block", "branches"),
    ],
    "torch": [],
}


@pytest.mark.parametrize(("candidate", "setting"), PAIRS[BACKEND])
def test_same_as_plain_fit(candidate, setting):
    make, arguments = SETTINGS[setting]
    assert_same(*fit(make, arguments(), candidate), setting)


@pytest.mark.parametrize("candidate", DEAR_ON_JAX)
def test_same_in_chunks(candidate):
    """Three blocks of four batches fit, not the whole data."""
    make, arguments = SETTINGS["sample weights"]
    row = 6 * 4 + 8 + 4
    limit = 3 * 4 * BATCH * row + 100
    model, history = fit(make, arguments(), candidate, memory_limit=limit)
    assert_same(model, history, "sample weights")
    assert model._execution_plan.choice == candidate


@pytest.mark.parametrize("candidate", DEAR_ON_JAX)
def test_evaluate_and_predict_are_the_same(candidate):
    model, _ = plain("sample weights")
    x, y = (array[:20] for array in data())
    settings = {"batch_size": BATCH, "verbose": 0}
    expected = model.evaluate(x, y, **settings), model.predict(x, **settings)
    expected_few = model.evaluate(x, y, steps=2, **settings)
    plan = plan_for(model, {"x": x, "y": y}, candidate)
    try:
        np.testing.assert_allclose(model.evaluate(x, y, **settings), expected[0], 1e-5)
        rows = model.predict(x, **settings)
        np.testing.assert_allclose(rows, expected[1], 1e-4, 1e-5)
        found = model.evaluate(x, y, steps=2, **settings)
        np.testing.assert_allclose(found, expected_few, 1e-5)
    finally:
        plan.remove()


@pytest.mark.skipif(BACKEND == "torch", reason="Torch has no blocks")
@pytest.mark.parametrize("name", ["shuffled", "shuffled_in_batches"])
def test_orders_are_permutations_by_seed_and_pass(name):
    split = BlockSplit(22, 8, 2)

    def order(seed, number):
        make = getattr(row_order, name)
        return np.asarray(make(seed)(device_module(), split, number))

    found = order(1, 0)
    np.testing.assert_array_equal(np.sort(found), np.arange(22))
    np.testing.assert_array_equal(found, order(1, 0))
    for other in (order(2, 0), order(1, 1)):
        assert (found != other).any()
    within = (found // 8 == np.arange(22) // 8).all()
    assert within == (name == "shuffled_in_batches")


@pytest.mark.parametrize("candidate", EPOCH)
def test_rows_are_shuffled_by_the_seed(candidate):
    class Seen(keras.layers.Layer):
        """Keeps a sum that depends on the order of the rows."""

        def build(self, shape):
            self.trace = self.add_weight(shape=(), initializer="zeros", trainable=False)

        def call(self, inputs, training=False):
            if training:
                total = keras.ops.sum(inputs[:, 0])
                self.trace.assign(0.9 * self.trace + total)
            return inputs

    x = np.arange(24.0, dtype="float32").reshape(24, 1)
    model = keras.Sequential([keras.Input((1,)), Seen(), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    plan_for(model, {"x": x, "y": 0 * x}, candidate, seed=1)

    def trace(shuffle):
        model.layers[0].trace.assign(0.0)
        model.fit(x, 0 * x, batch_size=8, shuffle=shuffle, verbose=0)
        return float(model.layers[0].trace)

    still = trace(False)
    assert still == pytest.approx(0.81 * 28 + 0.9 * 92 + 156, rel=1e-5)
    assert trace("batch") == pytest.approx(still, rel=1e-5)
    shuffled = trace(True)
    assert shuffled == pytest.approx(trace(True), rel=1e-6)
    assert shuffled != pytest.approx(still, rel=1e-3)


@pytest.mark.parametrize("candidate", DEAR_ON_JAX)
def test_a_step_of_ones_own_keeps_its_logs(candidate):
    class OwnLogs(keras.Sequential):
        def train_step(self, *args):
            out = super().train_step(*args)
            logs, state = out if isinstance(out, tuple) else (out, None)
            logs = {**logs, "twice": 2 * logs["loss"]}
            return logs if state is None else (logs, state)

    x, y = data(EVEN)

    def history(planned):
        keras.utils.set_random_seed(5)
        model = OwnLogs([keras.Input((6,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        if planned:
            plan_for(model, {"x": x, "y": y}, candidate)
        done = model.fit(x, y, BATCH, epochs=2, shuffle=False, verbose=0)
        return done.history

    expected, found = history(False), history(True)
    assert list(expected) == list(found) and "twice" in found
    np.testing.assert_allclose(found["twice"], expected["twice"], 1e-5)


def test_the_models_of_these_tests_train():
    make, arguments = SETTINGS["branches" if BACKEND != "jax" else "sample weights"]
    model, history = plain("branches" if BACKEND != "jax" else "sample weights")
    before = make().get_weights()
    assert np.abs(before[0] - model.get_weights()[0]).max() > 1e-3
    assert set(history) >= {"loss", "val_loss"}
