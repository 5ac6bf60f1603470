"""NaNRecovery, WeightAveraging, BestWeights, TargetStopping, TimeBudget, finder."""

import importlib
import time

import keras
import numpy as np
import pytest

from keras_strategies import callbacks
from tests.callbacks.keras_suites import run_keras_suite
from tests.callbacks.scripted import line_model, run, weight

X = np.ones((8, 1), "float32")
Y = np.zeros((8, 1), "float32")


def fit(model, *given, x=X, epochs=3, **arguments):
    return model.fit(
        x,
        Y[: len(x)],
        batch_size=2,
        epochs=epochs,
        shuffle=False,
        callbacks=list(given),
        verbose=0,
        **arguments,
    ).history


class Weights(keras.callbacks.Callback):
    """The weight at the end of each epoch and in each validation."""

    def __init__(self):
        super().__init__()
        self.at_end, self.tested = [], []

    def on_test_begin(self, logs=None):
        self.tested.append(weight(self.model))

    def on_epoch_end(self, epoch, logs=None):
        self.at_end.append(weight(self.model))


def broken_at(batch):
    x = np.ones((8, 1), "float32")
    x[2 * batch] = np.inf
    return x


def test_a_broken_batch_is_rolled_back_and_the_rate_is_cut():
    model = line_model(1.0)
    recovery = callbacks.NaNRecovery(factor=0.5, verbose=0)
    history = fit(model, recovery, x=broken_at(3), epochs=1)
    assert recovery.retries == 1 and len(recovery.recoveries) == 1
    assert weight(model) == 0.0  # the copy of the begin
    assert float(model.optimizer.learning_rate) == 0.5
    assert len(history["loss"]) == 1


def test_gives_up_with_the_last_finite_state():
    model = line_model(1.0)
    recovery = callbacks.NaNRecovery(max_retries=0, verbose=0)
    with pytest.warns(RuntimeWarning, match="Training stops"):
        history = fit(model, recovery, x=broken_at(0), epochs=5)
    assert len(history["loss"]) == 1
    assert weight(model) == 0.0 and model.stop_training


def test_a_sound_training_is_left_alone():
    model, plain = line_model(0.25), line_model(0.25)
    recovery = callbacks.NaNRecovery(save_freq=2, verbose=0)
    fit(model, recovery)
    fit(plain)
    assert recovery.retries == 0 and weight(model) == weight(plain) == -3.0


def ema(values, decay):
    average = 0.0  # the weight that the training starts from
    for t, value in enumerate(values, start=1):
        d = min(decay, (1 + t) / (10 + t))
        average = d * average + (1 - d) * value
    return average


def test_exponential_average_in_validation_and_in_the_end():
    model, seen = line_model(1.0), Weights()
    average = callbacks.WeightAveraging(decay=0.5)
    fit(model, average, seen, epochs=2, validation_data=(X, Y))
    steps = -np.arange(1.0, 9.0)  # the weight after each step
    expected = [ema(steps[:4], 0.5), ema(steps, 0.5)]
    np.testing.assert_allclose(seen.tested, expected, rtol=1e-5)
    np.testing.assert_allclose(seen.at_end, [-4.0, -8.0])  # plain between epochs
    assert weight(model) == pytest.approx(expected[-1], rel=1e-5)


def test_swa_is_the_mean_of_epoch_ends_and_later_callbacks_see_it():
    model, seen = line_model(1.0), Weights()
    average = callbacks.WeightAveraging(method="swa", start_epoch=1, swap_on_epoch=True)
    fit(model, average, seen, epochs=3)
    np.testing.assert_allclose(seen.at_end, [-4.0, -8.0, (-8.0 - 12.0) / 2])
    assert weight(model) == pytest.approx(-10.0)


def test_averages_stay_after_predict_and_an_early_stop():
    model = line_model(1.0)
    average = callbacks.WeightAveraging(method="swa")
    target = callbacks.TargetStopping(1e9, monitor="loss", mode="min")
    history = fit(model, average, target, epochs=5)
    assert len(history["loss"]) == 1 and weight(model) == -4.0
    outputs = model.predict(X, callbacks=[average], verbose=0)
    np.testing.assert_allclose(outputs, -4.0 * X)
    assert weight(model) == -4.0


def normalized():
    """A model with a BatchNormalization after a layer that moves."""
    layers = [
        keras.Input((1,)),
        keras.layers.Dense(1, use_bias=False, kernel_initializer="ones"),
        keras.layers.BatchNormalization(momentum=0.5),
    ]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.SGD(0.1), loss="mse")
    return model


def test_swa_needs_data_for_batch_normalization_and_uses_it():
    with pytest.raises(ValueError, match="batch_norm_data"):
        fit(normalized(), callbacks.WeightAveraging(method="swa"))
    x = np.random.default_rng(0).normal(3, 2, size=(8, 1)).astype("float32")
    model = normalized()
    average = callbacks.WeightAveraging(method="swa", batch_norm_data=x)
    fit(model, average, x=x)
    kernel, _, _, mean, variance = (
        float(w.reshape(-1)[0]) for w in model.get_weights()
    )
    assert mean == pytest.approx(float(x.mean()) * kernel, rel=1e-4)
    assert variance == pytest.approx(float(x.var()) * kernel**2, rel=1e-3)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [({}, -1.0), ({"k": 3, "average": True}, -2.0), ({"start_from_epoch": 3}, -4.0)],
    ids=str,
)
def test_best_weights_come_back(arguments, expected):
    # (weight - goal)^2 on validation, weights -1, -2, ... at the ends of the epochs
    model = line_model(0.25)
    model.compile(model.optimizer, loss=model.loss, metrics=[Distance(-1.0)])
    best = callbacks.BestWeights("val_distance", mode="min", **arguments)
    fit(model, best, epochs=5, validation_data=(X, Y))
    assert weight(model) == pytest.approx(expected)


class Distance(keras.metrics.MeanMetricWrapper):
    def __init__(self, goal):
        super().__init__(lambda y, p: keras.ops.abs(p - goal), name="distance")


def test_best_weights_without_an_epoch_are_named():
    with pytest.raises(ValueError, match="no weights to restore"):
        callbacks.BestWeights().restore()
    with pytest.raises(ValueError, match="average=True"):
        callbacks.BestWeights(batch_norm_data=X)


@pytest.mark.parametrize(
    ("losses", "consecutive", "epochs", "reached"),
    [
        ([3.0, 1.0, 0.5], 1, 2, 1),
        ([3.0, 1.0, 2.0, 1.0, 0.9, 0.8], 2, 5, 4),
        ([3.0, 2.0], 1, 2, None),
    ],
)
def test_stops_at_the_target(losses, consecutive, epochs, reached):
    target = callbacks.TargetStopping(1.0, mode="min", consecutive=consecutive)
    assert run(target, losses) == epochs
    assert target.reached_epoch == reached


def test_stops_before_the_budget_is_passed(monkeypatch):
    module = importlib.import_module("keras_strategies.callbacks.stopping.time_budget")
    clock = iter(np.arange(0.0, 1e6, 1.0))  # a second from each look to the next
    monkeypatch.setattr(module, "_now", lambda: float(next(clock)))
    budget = callbacks.TimeBudget(time_limit=30)
    epochs = run(budget, [1.0] * 50)
    assert budget.stopped and 1 < epochs < 20
    assert budget.spent <= 30 + 2  # two looks at the clock at the end
    again = callbacks.TimeBudget(time_limit=30)
    again.set_state(budget.get_state())
    assert run(again, [1.0] * 50) == 1


def bowl():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", loss="mse", metrics=["mae"])
    return model


def test_the_finder_finds_a_rate_that_learns_and_changes_nothing():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 1)).astype("float32")
    y = 3 * x + 1
    model = bowl()
    before, rate = model.get_weights(), float(model.optimizer.learning_rate)
    finder = callbacks.LearningRateFinder(1e-4, 100.0, steps=60)
    finder.find(model, x, y, batch_size=16)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert float(model.optimizer.learning_rate) == pytest.approx(rate)
    assert int(model.optimizer.iterations) == 0
    # The quadratic loss diverges above a rate of 1; smoothing sees it late.
    for method in ("valley", "steepest", "minimum"):
        assert 1e-4 < finder.suggest(method) < 2.0
    assert max(finder.rates) < 100  # it stopped when the loss exploded
    model.optimizer.learning_rate = min(finder.suggest(), 0.5)
    history = model.fit(x, y, batch_size=16, epochs=30, verbose=0).history["loss"]
    assert history[-1] < 0.1 * history[0]
    axes = finder.plot()
    assert axes.get_xscale() == "log"
    assert finder.plot(ax=axes, methods=()) is axes
    lines = finder.table().splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["valley", "steepest", "minimum"]
    assert f"{finder.suggest():.3g}" in lines[2]


def test_the_finder_sees_the_loss_of_each_batch():
    x = np.arange(1.0, 9.0, dtype="float32").reshape(8, 1)
    model = line_model(1.0)
    finder = callbacks.LearningRateFinder(
        1e-6, 2e-6, steps=4, spacing="linear", stop_factor=1e9
    )
    finder.find(model, x, Y, batch_size=2, shuffle=False)
    w, expected = 0.0, []
    for i, rate in enumerate(np.linspace(1e-6, 2e-6, 4)):
        mean = x[2 * i : 2 * i + 2].mean()
        expected.append(w * mean)
        w -= rate * mean
    np.testing.assert_allclose(finder.losses, expected, rtol=1e-4, atol=1e-12)


def test_the_finder_names_what_it_needs():
    with pytest.raises(ValueError, match="at least 3 losses"):
        callbacks.LearningRateFinder().suggest()
    with pytest.raises(ValueError, match="at least 100 batches"):
        fit(line_model(), callbacks.LearningRateFinder())
    with pytest.raises(ValueError, match="epochs"):
        callbacks.LearningRateFinder().find(line_model(), X, Y, epochs=2)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: callbacks.NaNRecovery(factor=0), "factor"),
        (lambda: callbacks.NaNRecovery(save_freq=0), "save_freq"),
        (lambda: callbacks.WeightAveraging("mean"), "method"),
        (lambda: callbacks.WeightAveraging(decay=1.0), "decay"),
        (lambda: callbacks.TargetStopping(1.0, consecutive=0), "consecutive"),
        (lambda: callbacks.TimeBudget(0), "time_limit"),
        (lambda: callbacks.LearningRateFinder(1, 1), "max_learning_rate"),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: keras.callbacks.EarlyStopping("loss", patience=2, mode="min"),
        lambda: keras.callbacks.ReduceLROnPlateau("loss", patience=3, mode="min"),
    ],
)
def test_keras_callbacks_go_on_waiting(make):
    first, second = make(), make()
    model = line_model(0.0)
    fit(model, first, epochs=2)
    assert first.wait == 1
    callbacks.set_state(second, callbacks.get_state(first))
    fit(model, second, epochs=1)
    assert second.wait == 2
    fit(model, second, epochs=1)
    assert second.wait == 0  # a later fit starts anew


def test_a_state_within_a_fit_counts_at_once_and_once():
    class Echo(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            for callback in (stopper, budget):
                callbacks.set_state(callback, callbacks.get_state(callback))

    stopper = keras.callbacks.EarlyStopping("loss", patience=9, mode="min")
    budget, model = callbacks.TimeBudget(1e6), line_model(0.0)
    begin = time.monotonic()
    fit(model, Echo(), stopper, budget, epochs=4)
    assert stopper.wait == 3
    assert budget.spent <= time.monotonic() - begin
    fit(model, stopper, epochs=2)
    assert stopper.wait == 1


def test_state_of_an_unknown_callback_is_an_error():
    with pytest.raises(TypeError, match="ModelCheckpoint"):
        callbacks.get_state(keras.callbacks.Callback())


@pytest.mark.slow
@pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="Keras's tests compile with XLA"
)
def test_averages_pass_the_tests_of_keras_for_its_own(monkeypatch):
    ran = run_keras_suite(
        monkeypatch,
        "swap_ema_weights_test",
        "SwapEMAWeights",
        callbacks.WeightAveraging,
        # Ours needs no use_ema=True; and a second device would need a fresh process.
        skip=(
            "test_swap_ema_weights_with_invalid_optimizer",
            "test_swap_ema_weights_with_tf_distribute",
        ),
    )
    assert ran == 3
