"""Every callback: any compile mode, reuse, and an interrupted run that goes on."""

import copy
import functools
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_strategies import callbacks
from tests.cases import CALLBACKS
from tests.contract import pool

EPOCHS, STOP = 4, 2
# These leave a model changed, so that the next callback needs one of its own.
CHANGING = (
    "GradientClipping",
    "GradientMonitor",
    "GradualUnfreezing",
    "LabelSmoothingScheduler",
    "OneCycleScheduler",
)
CASES = sorted(CALLBACKS, key=lambda case: case.cls().__name__ in CHANGING)


def _fit(setting, model, used, epochs, initial_epoch=0):
    x, y = pool.data(setting)
    return model.fit(
        x,
        y,
        batch_size=8,
        epochs=epochs,
        initial_epoch=initial_epoch,
        shuffle=False,
        callbacks=used,
        validation_data=(x[:8], y[:8]),
        verbose=0,
    ).history


@pytest.mark.parametrize("mode", pool.modes())
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_trains_twice_with_one_instance(case, mode):
    if mode in ("mixed_float16", "all_at_once"):
        keras.config.set_dtype_policy("mixed_float16")
    model = pool.pooled(case.setting, mode)
    callback = case.build()
    for epochs in (2, 1):
        history = _fit(case.setting, model, [callback], epochs)
        assert np.isfinite(history["loss"]).all()


@dataclass
class Runs:
    """What the tests below look at, made once for each case."""

    whole: list  # weights after each epoch of an uninterrupted run
    final: list  # and after its `fit`
    first: list  # and of the run that was interrupted
    path: Path  # model at the interruption
    state: dict  # state of the callback there


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("interrupted")

    @functools.cache
    def make(index):
        case, path = CASES[index], folder / f"{index}.keras"
        keras.utils.set_random_seed(7)
        whole, model = _Weights(), pool.pooled(case.setting)
        _fit(case.setting, model, [case.build(), whole], EPOCHS)
        final = pool.copies(model.weights)
        keras.utils.set_random_seed(7)
        callback = case.build()
        keeper = _Keeper(callback, path)
        model = pool.pooled(case.setting)
        _fit(case.setting, model, [callback, keeper], EPOCHS)
        return Runs(whole.weights, final, keeper.weights, path, keeper.state)

    return lambda case: make(CASES.index(case))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_same_seed_same_weights(case, runs):
    made = runs(case)
    assert len(made.first) == STOP
    for first, second in zip(made.whole[STOP - 1], made.first[STOP - 1], strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_state_is_plain_and_comes_back(case, runs):
    state = runs(case).state
    pool.assert_plain(state)
    again = case.build()
    again.set_state(copy.deepcopy(state))
    np.testing.assert_equal(again.get_state(), state)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_interrupted_run_equals_the_uninterrupted_one(case, runs):
    made = runs(case)
    keras.utils.set_random_seed(7)
    second, callback = keras.models.load_model(made.path), case.build()
    callback.set_state(copy.deepcopy(made.state))
    _fit(case.setting, second, [callback], EPOCHS, initial_epoch=STOP)
    for expected, got in zip(made.final, second.get_weights(), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_its_own_state_between_batches_changes_nothing(case, runs):
    keras.utils.set_random_seed(7)
    model, callback = pool.pooled(case.setting), case.build()
    assert isinstance(callback, callbacks.Stateful)
    _fit(case.setting, model, [_Echo(callback), callback], EPOCHS)
    # Before `runs`, which may train the same model.
    weights = pool.copies(model.weights)
    for expected, got in zip(runs(case).final, weights, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


class _Echo(keras.callbacks.Callback):
    """Gives a callback its own state before each batch, as a roll-back by nothing."""

    def __init__(self, watched):
        super().__init__()
        self.watched = watched

    def on_train_batch_begin(self, batch, logs=None):
        self.watched.set_state(copy.deepcopy(self.watched.get_state()))


class _Weights(keras.callbacks.Callback):
    """Keeps the weights after each epoch."""

    def __init__(self):
        super().__init__()
        self.weights = []

    def on_epoch_end(self, epoch, logs=None):
        self.weights.append(pool.copies(self.model.weights))


class _Keeper(_Weights):
    """Saves model and callback state after two epochs, then stops the run."""

    def __init__(self, watched, path):
        super().__init__()
        self.watched, self.path = watched, path

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        if epoch == STOP - 1:
            self.model.save(self.path)
            self.state = copy.deepcopy(self.watched.get_state())
            self.model.stop_training = True
