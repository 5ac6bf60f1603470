"""Every callback: any compile mode, reuse, and an interrupted run that goes on."""

import copy

import keras
import numpy as np
import pytest

from tests.cases import CALLBACKS
from tests.contract import models

MODES = {
    "plain": {},
    "mixed_float16": {},
    "xla": {"jit_compile": True},
    "steps_per_execution": {"steps_per_execution": 4},
}


def _modes():
    skipped = ("xla", "steps_per_execution")
    torch = keras.backend.backend() == "torch"
    return [m for m in MODES if not (torch and m in skipped)]


def _compiled(**arguments):
    model = models.mlp()
    model.compile(
        keras.optimizers.Adam(0.01),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        **arguments,
    )
    return model


def _fit(model, callbacks, epochs=2, initial_epoch=0):
    x, y = models.classification_data()
    return model.fit(
        x,
        y,
        batch_size=8,
        epochs=epochs,
        initial_epoch=initial_epoch,
        shuffle=False,
        callbacks=callbacks,
        validation_data=(x, y),
        verbose=0,
    ).history


@pytest.mark.parametrize("mode", _modes())
@pytest.mark.parametrize("case", CALLBACKS, ids=lambda case: case.id)
def test_trains_twice_with_one_instance(case, mode):
    if mode == "mixed_float16":
        keras.config.set_dtype_policy("mixed_float16")
    model = _compiled(**MODES[mode])
    callback = case.build()
    for _ in range(2):
        history = _fit(model, [callback])
        assert np.isfinite(history["loss"]).all()


@pytest.mark.parametrize("case", CALLBACKS, ids=lambda case: case.id)
def test_same_seed_same_weights(case):
    runs = []
    for _ in range(2):
        keras.utils.set_random_seed(7)
        model = _compiled()
        _fit(model, [case.build()])
        runs.append(model.get_weights())
    for first, second in zip(*runs, strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("case", CALLBACKS, ids=lambda case: case.id)
def test_state_is_plain_and_comes_back(case):
    callback = case.build()
    _fit(_compiled(), [callback])
    state = callback.get_state()
    _assert_plain(state)
    again = case.build()
    again.set_state(copy.deepcopy(state))
    np.testing.assert_equal(again.get_state(), state)


def _assert_plain(value):
    if isinstance(value, dict):
        assert all(isinstance(key, str) for key in value)
        for item in value.values():
            _assert_plain(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _assert_plain(item)
    else:
        plain = (bool, int, float, str, type(None), np.ndarray, np.generic)
        assert isinstance(value, plain), type(value)


@pytest.mark.parametrize("case", CALLBACKS, ids=lambda case: case.id)
def test_interrupted_run_equals_the_uninterrupted_one(case, tmp_path):
    keras.utils.set_random_seed(7)
    whole = _compiled()
    _fit(whole, [case.build()], epochs=4)

    keras.utils.set_random_seed(7)
    first, callback = _compiled(), case.build()
    keeper = _Keeper(callback, tmp_path / "at_epoch_2.keras")
    _fit(first, [callback, keeper], epochs=4)

    second = keras.models.load_model(keeper.path)
    again = case.build()
    again.set_state(keeper.state)
    _fit(second, [again], epochs=4, initial_epoch=2)
    for expected, got in zip(whole.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


class _Keeper(keras.callbacks.Callback):
    """Saves model and callback state after two epochs, then stops the run."""

    def __init__(self, watched, path):
        super().__init__()
        self.watched, self.path = watched, path

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            self.model.save(self.path)
            self.state = copy.deepcopy(self.watched.get_state())
            self.model.stop_training = True
