"""Compiled models that many callbacks share, put back to their start in between.

Tracing and XLA cost seconds and a fit of few batches costs milliseconds: one model
for each setting and mode serves every callback. A model that a callback left
changed in any other way than in the values of its variables is not used again.
"""

import json

import keras
import numpy as np
import pytest

from keras_strategies import optimizers
from tests.contract import models

MODES = {
    "plain": {},
    "mixed_float16": {},
    "xla": {"jit_compile": True},
    "steps_per_execution": {"steps_per_execution": 4},
    "all_at_once": {"jit_compile": True, "steps_per_execution": 4},
}


def modes():
    """XLA, mixed precision and several steps at once; each of them alone is slow."""
    if keras.backend.backend() == "torch":
        return ["plain", "mixed_float16"]
    # In plain mode every callback trains in the tests of interrupted runs too.
    alone = ("plain", "mixed_float16", "xla", "steps_per_execution")
    rest = [pytest.param(mode, marks=pytest.mark.slow) for mode in alone]
    return ["all_at_once", *rest]


def compiled(setting="", **arguments):
    """A fresh compiled model; `setting` is that of a case."""
    model, optimizer = _NETWORKS[setting](), keras.optimizers.Adam(0.01)
    if setting == "accumulation":
        optimizer = keras.optimizers.Adam(0.01, gradient_accumulation_steps=2)
    if setting == "freezing":
        freeze = optimizers.Freeze("dense/")
        optimizer = optimizers.GradientTransform(optimizer, [freeze])
    model.compile(
        optimizer,
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        **arguments,
    )
    return model


def data(setting=""):
    """Inputs and targets of 48 samples that suit the model of the setting."""
    x, y = models.classification_data()
    if setting == "images":
        x = np.tile(x[:, :, None, None], (1, 1, 6, 1))
    elif setting == "sequences":
        x = x[:, :, None]
    return x, y


def _any_size():
    return keras.Sequential(
        [
            keras.Input((None, None, 1)),
            keras.layers.Conv2D(4, 2),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )


def _any_length():
    return keras.Sequential(
        [
            keras.Input((None, 1)),
            keras.layers.Conv1D(4, 2),
            keras.layers.GlobalAveragePooling1D(),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )


_NETWORKS = {
    "": models.mlp,
    "accumulation": models.mlp,
    "freezing": models.mlp,
    "images": _any_size,
    "sequences": _any_length,
}


_pool = {}
_starts = {}  # weights that every model of a setting starts from


def pooled(setting="", mode="plain"):
    """A compiled model at its start; the dtype policy must be that of the mode."""
    entry = _pool.get((setting, mode))
    if entry is None or not entry.reset():
        model = compiled(setting, **MODES[mode])
        model.set_weights(_starts.setdefault(setting, copies(model.weights)))
        entry = _pool[setting, mode] = _Pooled(model)
    return entry.model


def copies(variables):
    """Values as arrays of their own: one of Torch is the memory of its tensor."""
    return [np.array(keras.ops.convert_to_numpy(v)) for v in variables]


class _Pooled:
    def __init__(self, model):
        self.model = model
        model.optimizer.build(model.trainable_variables)
        self.variables = self._variables()
        self.values = copies(self.variables)
        self.config = self._config()

    def reset(self):
        """Puts the values back; False if anything else is not as it was."""
        now = self._variables()
        if len(now) != len(self.variables) or self._config() != self.config:
            return False
        if any(a is not b for a, b in zip(now, self.variables, strict=True)):
            return False
        for variable, value in zip(now, self.values, strict=True):
            variable.assign(value)
        self.model.stop_training = False
        return True

    def _variables(self):
        return [*self.model.variables, *self.model.optimizer.variables]

    def _config(self):
        settings = self.model.get_compile_config(), self.model.get_config()
        rate = self.model.optimizer.learning_rate
        settings[0]["optimizer"]["config"]["learning_rate"] = type(rate).__name__
        return json.dumps(settings, default=repr)


def assert_plain(value):
    """Nothing but plain values and arrays in lists and dicts with text keys."""
    if isinstance(value, dict):
        assert all(isinstance(key, str) for key in value)
        for item in value.values():
            assert_plain(item)
    elif isinstance(value, list | tuple):
        for item in value:
            assert_plain(item)
    else:
        plain = (bool, int, float, str, type(None), np.ndarray, np.generic)
        assert isinstance(value, plain), type(value)
