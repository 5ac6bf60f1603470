"""LearningRateScheduler: Keras's own tests, and what is more than Keras's."""

import keras
import numpy as np
import pytest

from keras_strategies import callbacks
from tests.callbacks.keras_suites import run_keras_suite
from tests.versions import need_multi_optimizer

X, Y = np.ones((12, 2), "float32"), np.ones((12, 1), "float32")


def linear(optimizer=None, **arguments):
    layers = [keras.Input((2,)), keras.layers.Dense(1), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    model.compile(optimizer or keras.optimizers.SGD(0.25), loss="mse", **arguments)
    return model


def rates(model, callback, key="learning_rate", **arguments):
    arguments = {"batch_size": 4, "epochs": 3, "verbose": 0, **arguments}
    return model.fit(X, Y, callbacks=[callback], **arguments).history[key]


def test_passes_the_tests_of_keras(monkeypatch):
    ran = run_keras_suite(
        monkeypatch,
        "learning_rate_scheduler_test",
        "LearningRateScheduler",
        callbacks.LearningRateScheduler,
    )
    assert ran >= 5


SCHEDULES = {
    "position": lambda epoch: 1.0 / (1 + epoch),
    "rate": lambda epoch, rate: rate * 2,
    "stairs": {0: 0.5, 2: 0.125},
    "schedule": keras.optimizers.schedules.PiecewiseConstantDecay([0], [0.5, 0.25]),
    "keyword": lambda epoch, *, unused=1: 0.125,
}
EXPECTED = {
    "position": [1.0, 1 / 2, 1 / 3],
    "rate": [0.5, 1.0, 2.0],
    "stairs": [0.5, 0.5, 0.125],
    "schedule": [0.5, 0.25, 0.25],
    "keyword": [0.125] * 3,
}


@pytest.mark.parametrize("kind", SCHEDULES)
def test_every_sort_of_schedule(kind):
    callback = callbacks.LearningRateScheduler(SCHEDULES[kind])
    np.testing.assert_allclose(rates(linear(), callback), EXPECTED[kind], rtol=1e-6)


def test_batches_count_on_over_epochs_and_fits():
    seen = []
    callback = callbacks.LearningRateScheduler(
        lambda step: seen.append(step) or 0.1 / (1 + step), update="batch"
    )
    model = linear()
    rates(model, callback, epochs=2)
    assert sorted(set(seen)) == list(range(6))
    again = rates(model, callback, epochs=3, initial_epoch=2)
    np.testing.assert_allclose(again, [0.1 / 9], rtol=1e-6)


def test_every_optimizer_below_the_models_follows():
    need_multi_optimizer()
    layers = [keras.layers.Dense(1, name=name) for name in ("first", "second")]
    model = keras.Sequential([keras.Input((2,)), *layers])
    by_path = keras.optimizers.OptimizerMap(keras.optimizers.SGD(0.5, name="a"))
    by_path["second.*"] = keras.optimizers.Adam(2.0, name="b")
    multi = keras.optimizers.MultiOptimizer(by_path)
    model.compile(keras.optimizers.LossScaleOptimizer(multi), loss="mse")
    callback = callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    found = model.fit(X, Y, epochs=2, callbacks=[callback], verbose=0).history
    np.testing.assert_allclose(found["learning_rate_a"], [0.25, 0.125])
    np.testing.assert_allclose(found["learning_rate_b"], [1.0, 0.5])


def test_an_optimizer_that_is_named_twice_is_set_and_shown_once(capsys):
    model = linear(keras.optimizers.SGD(0.25, name="a"))
    callback = callbacks.LearningRateScheduler(
        {0: 0.5}, verbose=1, optimizer=["optimizer", model.optimizer]
    )
    assert rates(model, callback, "learning_rate_a", epochs=1) == [0.5]
    assert capsys.readouterr().out.count("setting learning rate to 0.5") == 1


def test_errors_are_those_of_the_function_or_name_the_value():
    def broken(epoch, rate):
        raise TypeError("inside")

    with pytest.raises(TypeError, match="inside"):
        rates(linear(), callbacks.LearningRateScheduler(broken))
    with pytest.raises(ValueError, match="scheduled learning rate"):
        rates(linear(), callbacks.LearningRateScheduler(lambda epoch: -1.0))
    with pytest.raises(TypeError, match="schedule"):
        callbacks.LearningRateScheduler(0.1)
    with pytest.raises(ValueError, match="position 0"):
        callbacks.LearningRateScheduler({1: 0.1})
