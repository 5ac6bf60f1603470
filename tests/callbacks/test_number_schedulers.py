"""Weight decay, momentum and accumulation by schedule: the steps really made."""

import copy
import json

import keras
import numpy as np
import pytest

from keras_strategies.callbacks import (
    AccumulationScheduler,
    MomentumScheduler,
    OneCycleScheduler,
    WeightDecayScheduler,
)
from tests.markers import compile_modes
from tests.versions import need_multi_optimizer

BACKEND = keras.backend.backend()
BATCHES = 4


class Scalar(keras.layers.Layer):
    """One weight that starts at 1."""

    def build(self, input_shape):
        self.scalar = self.add_weight(shape=(), initializer="ones", name="scalar")

    def call(self, inputs):
        return inputs * self.scalar


def scalar_model(optimizer, **arguments):
    """The gradient of the only weight is the input."""
    model = keras.Sequential([keras.Input((1,)), Scalar()])
    model.compile(optimizer, loss=lambda y, prediction: prediction, **arguments)
    return model


def weights(model, gradients, *callbacks, epochs=1, **arguments):
    """The weight at the begin and after each epoch."""
    values = [float(model.get_weights()[0])]

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            values.append(float(self.model.get_weights()[0]))

    x = np.reshape(gradients, (-1, 1)).astype("float32")
    model.fit(
        x,
        np.zeros_like(x),
        batch_size=1,
        epochs=epochs,
        shuffle=False,
        callbacks=[*callbacks, Watch()],
        verbose=0,
        **arguments,
    )
    return np.array(values)


def sgd(gradients, momenta, rate=0.1):
    """The weight after each step of SGD with momentum, from 1."""
    weight, velocity, result = 1.0, 0.0, []
    for gradient, momentum in zip(gradients, momenta, strict=True):
        velocity = momentum * velocity - rate * gradient
        weight += velocity
        result.append(weight)
    return result


@pytest.mark.parametrize("arguments", compile_modes(steps=2), ids=str)
def test_weight_decay_of_each_epoch(arguments):
    model = scalar_model(keras.optimizers.SGD(0.5, weight_decay=0.01), **arguments)
    decays = [0.1, 0.2, 0.0]
    callback = WeightDecayScheduler(lambda epoch: decays[epoch])
    for _ in range(2):
        model.set_weights([np.ones(())])
        got = weights(model, np.zeros(BATCHES), callback, epochs=3)
        expected = np.cumprod([1, *((1 - 0.5 * d) ** BATCHES for d in decays)])
        np.testing.assert_allclose(got, expected, rtol=1e-5)
        assert model.optimizer.weight_decay == 0.01
    assert model.history.history["weight_decay"] == decays
    got = weights(model, np.zeros(BATCHES))  # and its own again
    np.testing.assert_allclose(got[1] / got[0], (1 - 0.005) ** BATCHES, rtol=1e-5)


def test_weight_decay_of_each_batch_by_a_schedule_object():
    model = scalar_model(keras.optimizers.SGD(1.0))
    schedule = keras.optimizers.schedules.PolynomialDecay(0.4, BATCHES, 0.0)
    got = weights(model, np.zeros(BATCHES), WeightDecayScheduler(schedule, "batch"))
    expected = np.prod(1 - 0.4 * (1 - np.arange(BATCHES) / BATCHES))
    np.testing.assert_allclose(got[1], expected, rtol=1e-5)
    assert model.optimizer.weight_decay is None


@pytest.mark.parametrize("arguments", compile_modes(steps=2), ids=str)
def test_momentum_of_each_epoch(arguments):
    model = scalar_model(keras.optimizers.SGD(0.1, momentum=0.9), **arguments)
    gradients = np.array([1.0, -2.0, 0.5, 3.0])
    got = weights(model, gradients, MomentumScheduler({0: 0.5, 1: 0.0}), epochs=2)
    expected = sgd(np.tile(gradients, 2), [0.5] * 4 + [0.0] * 4)
    np.testing.assert_allclose(got[1:], expected[3::4], rtol=1e-5)
    assert model.optimizer.momentum == 0.9


def adam(gradients, betas, rate=0.1):
    weight, first, second, result = 1.0, 0.0, 0.0, []
    for step, (gradient, beta) in enumerate(zip(gradients, betas, strict=True), 1):
        first += (gradient - first) * (1 - beta)
        second += (gradient**2 - second) * (1 - 0.999)
        alpha = rate * np.sqrt(1 - 0.999**step) / (1 - beta**step)
        weight -= alpha * first / (np.sqrt(second) + 1e-7)
        result.append(weight)
    return result


def test_momentum_of_adam_is_its_beta_1():
    model = scalar_model(keras.optimizers.Adam(0.1))
    gradients = np.array([1.0, -2.0, 0.5, 3.0])
    got = weights(model, gradients, MomentumScheduler({0: 0.5, 1: 0.8}), epochs=2)
    expected = adam(np.tile(gradients, 2), [0.5] * 4 + [0.8] * 4)
    np.testing.assert_allclose(got[1:], expected[3::4], rtol=1e-4)
    assert model.optimizer.beta_1 == 0.9


@pytest.mark.parametrize("name", ["RMSprop", "Nadam", "Lion", "Adamax", "AdamW"])
def test_other_optimizers_with_momentum(name):
    arguments = {"momentum": 0.9} if name == "RMSprop" else {}
    optimizer = getattr(keras.optimizers, name)(0.1, **arguments)
    results = []
    for value in (0.2, 0.8):
        model = scalar_model(optimizer.from_config(optimizer.get_config()))
        callback = MomentumScheduler(lambda epoch, value=value: value)
        results.append(weights(model, [1.0, -2.0, 0.5, 3.0], callback)[1])
        fixed = optimizer.get_config()
        fixed["momentum" if arguments else "beta_1"] = value
        plain = scalar_model(optimizer.from_config(fixed))
        expected = weights(plain, [1.0, -2.0, 0.5, 3.0])[1]
        np.testing.assert_allclose(results[-1], expected, rtol=1e-4)
    assert results[0] != pytest.approx(results[1], rel=1e-3) or name == "Lion"


@pytest.mark.parametrize("arguments", compile_modes(), ids=str)
def test_accumulation_changes_the_batches_of_an_update(arguments):
    optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
    model = scalar_model(optimizer, **arguments)
    callback = AccumulationScheduler({0: 1, 1: 4})
    gradients = np.array([1.0, 2.0, 3.0, 6.0])
    got = weights(model, gradients, callback, epochs=2)
    np.testing.assert_allclose(np.diff(got), [-1.2, -0.3], rtol=1e-5)
    history = model.history.history["gradient_accumulation_steps"]
    assert history == [1, 4]
    assert model.optimizer.gradient_accumulation_steps == 2
    np.testing.assert_allclose(np.diff(weights(model, gradients)), [-0.6], rtol=1e-5)


def test_one_cycle_of_rate_and_momentum():
    from keras_strategies import schedules

    steps = 3 * BATCHES
    model = scalar_model(keras.optimizers.SGD(0.1, momentum=0.9))
    gradients = np.array([1.0, -2.0, 0.5, 3.0])
    got = weights(model, gradients, OneCycleScheduler(0.2), epochs=3)
    cycle = schedules.OneCycle(0.2, steps)
    momentum = cycle.momentum_schedule()
    weight, velocity, expected = 1.0, 0.0, []
    for step, gradient in enumerate(np.tile(gradients, 3)):
        velocity = float(momentum(step)) * velocity - float(cycle(step)) * gradient
        weight += velocity
        expected.append(weight)
    np.testing.assert_allclose(got[1:], expected[3::4], rtol=1e-4)
    logged = model.history.history["momentum"]
    assert logged[-1] == pytest.approx(float(momentum(steps - 1)), rel=1e-5)
    assert model.optimizer.momentum == 0.9


def test_one_cycle_of_the_rate_only():
    model = scalar_model(keras.optimizers.SGD(0.2))
    callback = OneCycleScheduler(cycle_momentum=False)
    got = weights(model, np.ones(BATCHES), callback)
    from keras_strategies import schedules

    cycle = schedules.OneCycle(0.2, BATCHES)
    expected = 1 - sum(float(cycle(step)) for step in range(BATCHES))
    np.testing.assert_allclose(got[1], expected, rtol=1e-4)
    with pytest.raises(ValueError, match="needs an optimizer with momentum"):
        weights(model, np.ones(BATCHES), OneCycleScheduler())


@pytest.mark.parametrize("kind", ["loss_scale", "multi"])
def test_nested_optimizers_and_saving_in_between(kind, tmp_path):
    inner = keras.optimizers.SGD(0.5, momentum=0.5, weight_decay=0.25)
    if kind == "loss_scale":
        optimizer = keras.optimizers.LossScaleOptimizer(inner, initial_scale=8.0)
    else:
        need_multi_optimizer()
        by_name = keras.optimizers.OptimizerMap(inner)
        optimizer = keras.optimizers.MultiOptimizer(by_name)

    class Save(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.save(tmp_path / "model.keras")

    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(optimizer, loss="mse")
    callbacks = [WeightDecayScheduler({0: 0.1}), MomentumScheduler({0: 0.7}), Save()]
    x = np.ones((8, 1))
    history = model.fit(x, x, 2, epochs=2, callbacks=callbacks, verbose=0).history
    assert history["weight_decay"] == [0.1, 0.1]
    assert history["momentum"] == [0.7, 0.7]
    again = keras.models.load_model(tmp_path / "model.keras")  # a warning is an error
    text = json.dumps(keras.saving.serialize_keras_object(again.optimizer))
    assert '"weight_decay": 0.25' in text
    assert '"momentum": 0.5' in text
    pairs = zip(again.optimizer.variables, model.optimizer.variables, strict=True)
    for got, expected in pairs:
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(got), keras.ops.convert_to_numpy(expected)
        )


def test_a_change_does_not_trace_the_step_again():
    traces = []

    class Counted(Scalar):
        def call(self, inputs):
            traces.append(1)
            return super().call(inputs)

    model = keras.Sequential([keras.Input((1,)), Counted()])
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss="mse")
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(len(traces))

    callback = MomentumScheduler(lambda position: 0.1 * position, "batch")
    x = np.ones((4, 1))
    model.fit(x, x, 2, epochs=3, callbacks=[callback, Watch()], verbose=0)
    steps = 4 if BACKEND == "torch" else 0
    assert seen[2] - seen[0] == steps


class Fails(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        raise RuntimeError("power cut")


def test_a_fit_that_died_is_put_right():
    model = scalar_model(keras.optimizers.SGD(0.5, weight_decay=0.25))
    first = WeightDecayScheduler({0: 0.1})
    with pytest.raises(RuntimeError, match="power cut"):
        weights(model, np.zeros(4), first, Fails())
    # Another object takes the right value for the original one.
    weights(model, np.zeros(4), WeightDecayScheduler({0: 0.2}))
    assert model.optimizer.weight_decay == 0.25
    with pytest.raises(RuntimeError, match="power cut"):
        weights(model, np.zeros(4), first, Fails())
    first.restore()
    assert model.optimizer.weight_decay == 0.25
    assert len(model.optimizer.variables) == 2


def test_two_callbacks_for_one_number_are_refused():
    model = scalar_model(keras.optimizers.SGD(0.5, momentum=0.5))
    pair = MomentumScheduler({0: 0.1}), OneCycleScheduler()
    with pytest.raises(ValueError, match="Only one callback of a fit can set"):
        weights(model, np.zeros(4), *pair)
    assert model.optimizer.momentum == 0.5


def test_state_continues_at_the_same_batch():
    def schedule(position):
        return 0.1 * position

    whole = scalar_model(keras.optimizers.SGD(1.0))
    expected = weights(whole, np.zeros(3), WeightDecayScheduler(schedule, "batch"))
    del expected
    model = scalar_model(keras.optimizers.SGD(1.0))
    first = WeightDecayScheduler(schedule, "batch")
    weights(model, np.zeros(3), first)
    again = WeightDecayScheduler(schedule, "batch")
    again.set_state(copy.deepcopy(first.get_state()))
    got = weights(model, np.zeros(3), again, epochs=2, initial_epoch=1)
    np.testing.assert_allclose(got[1] / got[0], 0.7 * 0.6 * 0.5, rtol=1e-5)


@pytest.mark.parametrize(
    ("build", "error", "words"),
    [
        (lambda: WeightDecayScheduler(0.1), TypeError, "callable or a dict"),
        (lambda: WeightDecayScheduler({1: 0.1}), ValueError, "value for position 0"),
        (lambda: WeightDecayScheduler({0: 0.1}, "step"), ValueError, "`update`"),
        (lambda: OneCycleScheduler(-1.0), ValueError, "`max_learning_rate`"),
        (lambda: OneCycleScheduler(total_steps=1), ValueError, "`total_steps`"),
        (lambda: OneCycleScheduler(warmup_fraction=1.0), ValueError, "warmup_fraction"),
        (lambda: OneCycleScheduler(shape="wave"), ValueError, "`shape`"),
        (lambda: OneCycleScheduler(base_momentum=1.0), ValueError, "base_momentum"),
    ],
)
def test_bad_arguments(build, error, words):
    with pytest.raises(error, match=words):
        build()


@pytest.mark.parametrize(
    ("callback", "error", "words"),
    [
        (MomentumScheduler({0: 0.5}), ValueError, "optimizer with momentum"),
        (AccumulationScheduler({0: 2}), ValueError, "accumulates gradients"),
        (WeightDecayScheduler({0: -1.0}), ValueError, "scheduled weight_decay"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_does_not_fit_is_refused_and_nothing_changed(callback, error, words):
    model = scalar_model(keras.optimizers.SGD(0.1))
    with pytest.raises(error, match=words):
        weights(model, np.zeros(2), callback)
    if hasattr(callback, "restore"):
        callback.restore()
    assert model.optimizer.weight_decay is None
    assert model.optimizer.momentum == 0.0
    weights(model, np.zeros(2))
