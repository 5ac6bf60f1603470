"""The learning-rate schedulers: the rate that each step really used."""

import copy

import keras
import numpy as np
import pytest

from keras_strategies.callbacks import (
    CosineDecayScheduler,
    ExponentialDecayScheduler,
    StepDecayScheduler,
)
from tests.callbacks.probe import RateProbe
from tests.markers import compile_modes
from tests.versions import need_multi_optimizer

BACKEND = keras.backend.backend()
SCHEDULERS = [StepDecayScheduler, ExponentialDecayScheduler, CosineDecayScheduler]
close = pytest.approx


def cosine(position, length, alpha=0.0):
    p = np.minimum(np.asarray(position) / length, 1)
    return alpha + (1 - alpha) * (1 + np.cos(np.pi * p)) / 2


@pytest.mark.parametrize("arguments", compile_modes(), ids=str)
@pytest.mark.parametrize(
    ("scheduler", "factor"),
    [
        (StepDecayScheduler(None, 3, 0.5, "batch"), lambda i: 0.5 ** (i // 3)),
        (ExponentialDecayScheduler(None, 2, 0.5, "batch"), lambda i: 0.5 ** (i / 2)),
        (CosineDecayScheduler(None, 9, 0.1, "batch"), lambda i: cosine(i, 9, 0.1)),
        (CosineDecayScheduler(update="batch"), lambda i: cosine(i, 12)),
    ],
)
def test_each_batch_follows_the_formula(scheduler, factor, arguments):
    rates = RateProbe(4, **arguments).fit(scheduler, epochs=3)
    expected = 0.1 * factor(np.arange(12)).reshape(3, 4)
    np.testing.assert_allclose(rates, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("scheduler", "factors"),
    [
        (StepDecayScheduler(decay_steps=2), [1, 1, 0.5, 0.5, 0.25]),
        (ExponentialDecayScheduler(decay_rate=0.9), 0.9 ** np.arange(5)),
        (CosineDecayScheduler(), cosine(np.arange(5), 5)),
        (CosineDecayScheduler(alpha=0.2, decay_steps=2), cosine(np.arange(5), 2, 0.2)),
    ],
)
def test_each_epoch_follows_the_formula(scheduler, factors):
    probe = RateProbe(2)
    rates = probe.fit(scheduler, epochs=5)
    expected = 0.1 * np.array(factors)[:, None] * np.ones((5, 2))
    np.testing.assert_allclose(rates, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(probe.history["learning_rate"], expected[:, 0], 1e-6)


def test_log_is_the_rate_of_the_last_batch_and_stays_afterwards():
    probe = RateProbe(4)
    rates = probe.fit(ExponentialDecayScheduler(0.2, update="batch"), epochs=2)
    assert probe.history["learning_rate"] == close(rates[:, -1], rel=1e-4)
    left = float(keras.ops.convert_to_numpy(probe.probed.optimizer.learning_rate))
    assert left == close(0.2 * 0.96**7, rel=1e-6)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_warmup_rises_in_equal_steps_and_is_never_zero(scheduler):
    warm = scheduler(0.4, update="batch", warmup_steps=3)
    rates = RateProbe(6).fit(warm)[0]
    assert rates[:4] == close([0.1, 0.2, 0.3, 0.4], rel=1e-5)


def test_warmup_in_epochs():
    warm = CosineDecayScheduler(0.4, warmup_steps=1)
    rates = RateProbe(1).fit(warm, epochs=3)
    assert rates[:, 0] == close([0.2, 0.4, 0.2], rel=1e-5)


def test_decay_counts_from_the_end_of_the_warmup():
    scheduler = StepDecayScheduler(0.4, 2, 0.5, "batch", warmup_steps=1)
    rates = RateProbe(6).fit(scheduler)[0]
    assert rates == close([0.2, 0.4, 0.4, 0.2, 0.2, 0.1], rel=1e-5)


def test_steps_per_execution_and_an_uneven_end():
    if BACKEND == "torch":
        pytest.skip("steps_per_execution is 1 with the PyTorch backend")
    probe = RateProbe(6, steps_per_execution=4)
    scheduler = ExponentialDecayScheduler(0.1, 1, 0.9, "batch")
    rates = probe.fit(scheduler, epochs=2)
    # The rate is set at the steps 0, 4 | 6, 10 and holds until the next setting.
    expected = 0.1 * 0.9 ** np.array([[0, 0, 0, 0, 4, 4], [6, 6, 6, 6, 10, 10]])
    np.testing.assert_allclose(rates, expected, rtol=1e-4)


def test_generator_without_a_length():
    scheduler = ExponentialDecayScheduler(0.1, 1, 0.9, "batch")
    rates = RateProbe(3).fit(scheduler, epochs=2, generator=True, steps_per_epoch=3)
    expected = 0.1 * 0.9 ** np.arange(6).reshape(2, 3)
    np.testing.assert_allclose(rates, expected, rtol=1e-4)


def wrapped(kind):
    sgd = keras.optimizers.SGD(0.1)
    if kind == "loss_scale":
        return keras.optimizers.LossScaleOptimizer(sgd, initial_scale=8.0)
    need_multi_optimizer()
    if kind == "map":
        multi = keras.optimizers.OptimizerMap(sgd)
        return keras.optimizers.MultiOptimizer(multi)
    if kind == "function":
        return keras.optimizers.MultiOptimizer(lambda variable: sgd)
    return keras.optimizers.LossScaleOptimizer(wrapped("map"), initial_scale=8.0)


@pytest.mark.parametrize("kind", ["loss_scale", "map", "function", "scaled_map"])
def test_nested_optimizers(kind):
    probe = RateProbe(4, wrapped(kind))
    scheduler = ExponentialDecayScheduler(None, 2, 0.5, "batch")
    rates = probe.fit(scheduler, epochs=2)
    expected = 0.1 * 0.5 ** (np.arange(8).reshape(2, 4) / 2)
    np.testing.assert_allclose(rates, expected, rtol=1e-4)


def test_multi_optimizer_keeps_each_rate_and_logs_it_by_name():
    need_multi_optimizer()
    slow, fast = keras.optimizers.SGD(0.01, name="slow"), keras.optimizers.SGD(1.0)
    multi = keras.optimizers.OptimizerMap(slow)
    multi["last"] = fast
    model = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(2), keras.layers.Dense(1, name="last")]
    )
    model.compile(keras.optimizers.MultiOptimizer(multi), loss="mse")
    history = model.fit(
        np.zeros((4, 2)),
        np.zeros((4, 1)),
        epochs=3,
        verbose=0,
        callbacks=[StepDecayScheduler(decay_steps=1)],
    ).history
    assert history["learning_rate_slow"] == close([0.01, 0.005, 0.0025])
    assert history[f"learning_rate_{fast.name}"] == close([1.0, 0.5, 0.25])


@pytest.mark.parametrize(
    ("scheduler", "initial", "update"),
    [
        (StepDecayScheduler, None, "epoch"),
        (ExponentialDecayScheduler, 0.1, "batch"),
        (ExponentialDecayScheduler, None, "batch"),
        (CosineDecayScheduler, None, "batch"),
    ],
)
def test_a_second_fit_starts_again(scheduler, initial, update):
    probe = RateProbe(3)
    callback = scheduler(initial, update=update)
    first = probe.fit(callback, epochs=3)
    np.testing.assert_allclose(probe.fit(callback, epochs=3), first, rtol=1e-3)
    assert first[0, 0] == close(0.1, rel=1e-4)


@pytest.mark.parametrize("update", ["batch", "epoch"])
def test_initial_epoch_goes_on(update):
    callback = ExponentialDecayScheduler(None, 3, 0.5, update)
    whole = RateProbe(3).fit(callback, epochs=4)
    probe = RateProbe(3)
    parts = [probe.fit(callback, epochs=2)]
    parts.append(probe.fit(callback, epochs=4, initial_epoch=2))
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-3)


@pytest.mark.parametrize("update", ["batch", "epoch"])
def test_initial_epoch_with_a_new_object(update):
    whole = RateProbe(3).fit(ExponentialDecayScheduler(0.1, 3, 0.5, update), epochs=4)
    late = ExponentialDecayScheduler(0.1, 3, 0.5, update)
    rates = RateProbe(3).fit(late, epochs=4, initial_epoch=2)
    np.testing.assert_allclose(rates, whole[2:], rtol=1e-3)


def test_state_continues_in_a_new_object_without_a_known_length():
    whole = RateProbe(3).fit(ExponentialDecayScheduler(None, 3, 0.5, "batch"), epochs=4)
    probe = RateProbe(3)
    first = ExponentialDecayScheduler(None, 3, 0.5, "batch")
    probe.fit(first, epochs=2)
    again = ExponentialDecayScheduler(None, 3, 0.5, "batch")
    again.set_state(copy.deepcopy(first.get_state()))
    rates = probe.fit(again, epochs=4, initial_epoch=2)
    np.testing.assert_allclose(rates, whole[2:], rtol=1e-3)


# Keras says so at the end of each epoch of a data set without a length.
@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.tensorflow
def test_length_unknown_in_the_first_epoch():
    import tensorflow as tf

    probe = RateProbe(3)
    eye = np.eye(3, dtype="float32")
    data = tf.data.Dataset.from_tensor_slices((eye, np.zeros((3, 1))))
    data = data.filter(lambda x, y: True).batch(1)

    def fit(callback, **arguments):
        probe.rates = []
        callbacks = [callback, probe]
        probe.probed.fit(
            data, callbacks=callbacks, shuffle=False, verbose=0, **arguments
        )
        return np.array(probe.rates)

    def starts_at(rates, positions):
        assert any(rates[0] == close(0.1 * 0.5 ** (i / 3), rel=1e-3) for i in positions)
        np.testing.assert_allclose(rates[1:] / rates[:-1], 0.5 ** (1 / 3), rtol=1e-3)

    scheduler = ExponentialDecayScheduler(0.1, 3, 0.5, "batch")
    first, second = fit(scheduler, epochs=2)
    starts_at(first, [0])
    # At the end of such data Keras counts an iteration that had no batch, and this
    # counter is all that a late start can go by.
    starts_at(second, [3, 4])
    late = ExponentialDecayScheduler(0.1, 3, 0.5, "batch")
    starts_at(fit(late, epochs=3, initial_epoch=2)[0], [6, 7, 8])
    with pytest.raises(ValueError, match="steps in an epoch must be known"):
        fit(CosineDecayScheduler(update="batch"))
    fresh = RateProbe(3)
    with pytest.raises(ValueError, match="first epoch after 0"):
        fresh.probed.fit(
            data,
            callbacks=[scheduler],
            initial_epoch=1,
            epochs=2,
            shuffle=False,
            verbose=0,
        )


def test_a_rate_set_by_hand_becomes_the_initial_rate():
    probe = RateProbe(2)
    callback = StepDecayScheduler(decay_steps=1)
    probe.fit(callback, epochs=2)
    probe.probed.optimizer.learning_rate = 0.8
    assert probe.fit(callback, epochs=2)[:, 0] == close([0.8, 0.4], rel=1e-4)


def test_one_object_on_two_models():
    callback = StepDecayScheduler(decay_steps=1)
    RateProbe(2).fit(callback, epochs=3)
    other = RateProbe(2, keras.optimizers.SGD(0.025))
    # The very rate that the first model was left with.
    assert other.fit(callback, epochs=2)[:, 0] == close([0.025, 0.0125], rel=1e-4)


def test_positions_ignore_earlier_training():
    probe = RateProbe(3)
    probe.fit(epochs=5)
    rates = probe.fit(ExponentialDecayScheduler(0.1, 1, 0.5, "batch"))
    assert rates[0] == close([0.1, 0.05, 0.025], rel=1e-4)


def test_counts_every_batch_under_gradient_accumulation():
    optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
    probe = RateProbe(4, optimizer)
    callback = ExponentialDecayScheduler(0.1, 1, 0.5, "batch")
    rates = probe.fit(callback, epochs=2)
    # An update applies the mean of two gradients at the rate of the second batch.
    expected = 0.1 * 0.5 ** np.array([[1, 1, 3, 3], [5, 5, 7, 7]]) / 2
    np.testing.assert_allclose(rates, expected, rtol=1e-3)
    assert callback.get_state()["step"] == 8


class Fails(keras.callbacks.Callback):
    def on_train_batch_begin(self, batch, logs=None):
        if batch == 2:
            raise RuntimeError("power cut")


def test_a_fit_that_died_leaves_nothing_behind():
    probe = RateProbe(4)
    callback = ExponentialDecayScheduler(None, 1, 0.5, "batch")
    with pytest.raises(RuntimeError, match="power cut"):
        probe.fit(callback, Fails())
    rates = probe.fit(callback)
    assert rates[0] == close([0.1, 0.05, 0.025, 0.0125], rel=1e-4)
    probe.probed.optimizer.learning_rate = 0.3
    assert probe.fit()[0] == close([0.3] * 4, rel=1e-4)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_refuses_a_schedule_and_changes_nothing(scheduler):
    decay = keras.optimizers.schedules.ExponentialDecay(0.1, 100, 0.9)
    probe = RateProbe(2, keras.optimizers.SGD(decay))
    with pytest.raises(TypeError) as caught:
        probe.fit(scheduler())
    message = str(caught.value)
    assert scheduler.__name__ in message
    assert "Compile the model with a float" in message
    assert "ExponentialDecay" in message
    assert probe.probed.optimizer.get_config()["learning_rate"] is not None
    assert (probe.weights() == 0).all()


def test_cosine_needs_more_epochs_than_warmup():
    with pytest.raises(ValueError, match="must be less than the 2 positions"):
        RateProbe(2).fit(CosineDecayScheduler(warmup_steps=2), epochs=2)


def test_multi_optimizer_of_an_unbuilt_model():
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile(wrapped("function"), loss="mse")
    data = np.zeros((2, 2)), np.zeros((2, 1))
    history = model.fit(*data, callbacks=[StepDecayScheduler()], verbose=0).history
    assert history["learning_rate"] == close([0.1])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"initial_learning_rate": 0.0}, "`initial_learning_rate` must be greater"),
        ({"decay_steps": 0}, "`decay_steps` must be greater than 0"),
        ({"update": "step"}, "`update` must be one of 'batch', 'epoch'"),
        ({"warmup_steps": -1}, "`warmup_steps` must be an integer at least 0"),
        ({"decay_rate": 1.5}, "`decay_rate` must be in (0, 1]"),
    ],
)
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_bad_arguments(scheduler, arguments, words):
    if scheduler is CosineDecayScheduler and "decay_rate" in arguments:
        arguments, words = {"alpha": -0.1}, "`alpha` must be in [0, 1]"
    with pytest.raises(ValueError) as caught:
        scheduler(**arguments)
    assert words in str(caught.value)


@pytest.mark.parametrize("state", [None, {}, {"epoch": 1}])
def test_bad_state_is_refused(state):
    callback = StepDecayScheduler()
    before = callback.get_state()
    with pytest.raises((TypeError, ValueError), match="`state`"):
        callback.set_state(state)
    assert callback.get_state() == before
