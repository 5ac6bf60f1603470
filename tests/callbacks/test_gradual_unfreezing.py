"""GradualUnfreezing: which weights each epoch really moved."""

import keras
import numpy as np
import pytest

from keras_strategies import optimizers
from keras_strategies.callbacks import GradualUnfreezing

X, Y = np.ones((8, 3), "float32"), np.ones((8, 1), "float32")


def model_with(*transforms):
    names = ("one", "two", "head")
    layers = [keras.layers.Dense(1, name=name) for name in names]
    model = keras.Sequential([keras.Input((3,)), *layers])
    optimizer = keras.optimizers.AdamW(0.01, weight_decay=0.1)
    if transforms:
        optimizer = optimizers.GradientTransform(optimizer, list(transforms))
    model.compile(optimizer, loss="mse")
    return model


class Moved(keras.callbacks.Callback):
    """Names of the layers whose kernel moved, epoch by epoch."""

    def __init__(self):
        super().__init__()
        self.epochs = []

    def _kernels(self):
        return {layer.name: layer.get_weights()[0] for layer in self.model.layers}

    def on_epoch_begin(self, epoch, logs=None):
        self.before = self._kernels()

    def on_epoch_end(self, epoch, logs=None):
        now = self._kernels()
        self.epochs.append([n for n in now if (now[n] != self.before[n]).any()])


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_layers_thaw_in_their_epochs(policy):
    keras.config.set_dtype_policy(policy)
    model, moved = model_with(optimizers.Freeze(["one/", "two/"])), Moved()
    thaw = GradualUnfreezing({1: "two/", 2: [model.get_layer("one")]})
    model.fit(
        X, Y, batch_size=4, epochs=4, callbacks=[thaw, moved], shuffle=False, verbose=0
    )
    expected = [["head"], ["two", "head"], ["one", "two", "head"]]
    if policy == "mixed_float16":  # loss scaling drops its first steps
        assert "one" not in moved.epochs[0] + moved.epochs[1]
        assert "two" not in moved.epochs[0]
        assert moved.epochs[3] == expected[2]
    else:
        assert moved.epochs == [*expected, expected[2]]


@pytest.mark.parametrize(
    "selector",
    [
        "^(one|two)/",
        ["one", "^two/kernel$"],
        lambda layer: layer.name != "head",
    ],
    ids=["path", "list", "function"],
)
def test_excluded_weights_stay_frozen(selector):
    model = model_with(optimizers.Freeze(["one/", "two/"]))
    unfreezing = GradualUnfreezing({0: selector}, exclude=model.get_layer("one"))
    model.fit(X, Y, callbacks=[unfreezing], verbose=0)
    frozen = model.optimizer.frozen()
    assert {v.path for v in model.get_layer("one").weights} <= set(frozen)
    assert model.get_layer("two").kernel.path not in frozen


def test_each_optimizer_of_several_thaws_its_own_weights():
    names = ("one", "two", "head")
    layers = [keras.layers.Dense(1, name=name) for name in names]
    model = keras.Sequential([keras.Input((3,)), *layers])
    parts = [
        optimizers.GradientTransform(
            keras.optimizers.SGD(0.1), [optimizers.Freeze([f"{name}/"])]
        )
        for name in ("one", "two")
    ]

    def optimizer_of(variable):
        return parts[0] if "one/" in variable.path else parts[1]

    model.compile(keras.optimizers.MultiOptimizer(optimizer_of), loss="mse")
    moved = Moved()
    unfreezing = GradualUnfreezing({1: "one/", 2: "two/"})
    model.fit(X, Y, batch_size=4, epochs=3, callbacks=[unfreezing, moved], verbose=0)
    assert moved.epochs == [["head"], ["one", "head"], ["one", "two", "head"]]


def test_misuse_is_named_and_changes_nothing():
    thaw = GradualUnfreezing({0: "nowhere/"})
    model = model_with(optimizers.Freeze(["one/"]))
    before = model.get_weights()
    with pytest.raises(ValueError, match="nowhere"):
        model.fit(X, Y, callbacks=[thaw], verbose=0)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    for other in (model_with(), model_with(optimizers.Centralize())):
        with pytest.raises(ValueError, match="can freeze"):
            other.fit(X, Y, callbacks=[GradualUnfreezing({0: "one/"})], verbose=0)
    with pytest.raises(TypeError, match="schedule"):
        GradualUnfreezing("one/")
    with pytest.raises(ValueError, match="epoch"):
        GradualUnfreezing({-1: "one/"})
    with pytest.raises(ValueError, match="regular expression"):
        GradualUnfreezing({0: "("})
