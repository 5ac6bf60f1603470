"""Callbacks side by side: a plan, and plain fit."""

import functools

import keras
import numpy as np
import pytest

from tests.training.models import BATCH, candidates, data, dear, plan_for

CANDIDATES = candidates()[1:2]
STEPS = 4  # of ten batches: blocks of 4, 4 and 2


class Recorder(keras.callbacks.Callback):
    """Every hook with its number, and the logs."""

    def __init__(self, stop_at=None):
        super().__init__()
        self.events, self.logs, self.stop_at = [], [], stop_at

    def on_train_batch_end(self, batch, logs=None):
        self._note("train_batch_end", batch, logs)
        if self.stop_at == ("batch", batch):
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        self._note("epoch_end", epoch, logs)
        if self.stop_at == ("epoch", epoch):
            self.model.stop_training = True

    def _note(self, name, number=None, logs=None):
        self.events.append((name, number, sorted(logs or ())))
        self.logs.append({key: float(value) for key, value in (logs or {}).items()})


def _hook(name):
    def numbered(self, number, logs=None):
        self._note(name, number, logs)

    def bare(self, logs=None):
        self._note(name, None, logs)

    return numbered if name.startswith(("epoch", "train_batch", "test_batch")) else bare


for _name in (
    "epoch_begin",
    "train_batch_begin",
    "test_batch_begin",
    "test_batch_end",
    "train_begin",
    "train_end",
    "test_begin",
    "test_end",
):
    setattr(Recorder, f"on_{_name}", _hook(_name))


@functools.cache
def _compiled(candidate):
    """One model for all the fits of a candidate."""
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x, y = data()
    if candidate:
        limit = 3 * STEPS * BATCH * (6 * 4 + 8)
        plan_for(model, {"x": x, "y": y}, candidate, memory_limit=limit)
    return model


def recorded(candidate, stop_at=None, **arguments):
    """`(recorder, history, model)` of a fit from always the same weights."""
    model = _compiled(candidate)
    model.set_weights([np.linspace(-1, 1, 6)[:, None], np.zeros(1)])
    model.optimizer.iterations.assign(0)
    x, y = data()
    recorder = Recorder(stop_at)
    history = model.fit(
        x,
        y,
        batch_size=BATCH,
        shuffle=False,
        verbose=0,
        callbacks=[recorder],
        validation_data=(x[:32], y[:32]),
        **{"epochs": 3, **arguments},
    )
    return recorder, history, model


ARGUMENTS = [
    {"initial_epoch": 1, "validation_freq": [3]},
    {"stop_at": ("batch", 3)},
    {"stop_at": ("epoch", 1), "validation_freq": 2},
    {"steps_per_epoch": 5},
]


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=str)
@pytest.mark.parametrize("candidate", CANDIDATES)
def test_same_hooks_numbers_and_logs(candidate, arguments):
    expected, expected_history, plain = recorded(None, **arguments)
    with pytest.warns(UserWarning, match="Recorder may act on the model"):
        found, history, model = recorded(candidate, **arguments)
    assert found.events == expected.events
    for logs, wanted in zip(found.logs, expected.logs, strict=True):
        assert logs == pytest.approx(wanted, rel=1e-5)
    assert history.epoch == expected_history.epoch
    assert list(history.history) == list(expected_history.history)
    np.testing.assert_allclose(model.get_weights()[0], plain.get_weights()[0], 1e-5)
    assert int(model.optimizer.iterations) == int(plain.optimizer.iterations)


@pytest.mark.parametrize("candidate", [dear("jax", name) for name in CANDIDATES])
def test_a_callback_may_trace_the_step_anew_and_use_the_model(candidate):
    x, y = data()

    class Meddler(keras.callbacks.Callback):
        seen = None

        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:  # read when the step is traced
                self.model.optimizer.clipnorm = 1e-12
                self.model.make_train_function(force=True)

        def on_epoch_end(self, epoch, logs=None):
            weights = self.model.get_weights()[0]
            predicted = self.model.predict(x, verbose=0)
            self.model.evaluate(x, y, verbose=0)
            self.model.test_on_batch(x[:8], y[:8])
            if self.seen is not None:
                np.testing.assert_allclose(weights, self.seen, rtol=1e-5)
            self.seen = weights
            np.testing.assert_allclose(predicted, self.model(x), rtol=1e-4, atol=1e-5)

    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    plan_for(model, {"x": x, "y": y}, candidate)
    before = model.get_weights()[0]
    model.fit(x, y, BATCH, epochs=2, verbose=0, callbacks=[Meddler()])
    after = model.get_weights()[0]
    assert np.abs(after - before).max() > 1e-3
    assert model.steps_per_execution == 1
    # What was compiled for the small clipnorm is not used again.
    model.optimizer.clipnorm = None
    model.make_train_function(force=True)
    model.train_on_batch(x[:8], y[:8])
    model.fit(x, y, BATCH, verbose=0)
    assert np.abs(model.get_weights()[0] - after).max() > 1e-3
