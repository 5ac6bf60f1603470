"""GradualUnfreezing: which layers each epoch really moved, bit for bit."""

import keras
import numpy as np
import pytest

from keras_strategies import optimizers
from keras_strategies._internal import freezing
from keras_strategies._internal.select import layer_targets
from keras_strategies.callbacks import GradualUnfreezing

L = keras.layers
X, Y = np.ones((8, 3), "float32"), np.ones((8, 1), "float32")
IMAGES = np.random.default_rng(0).normal(size=(16, 6, 6, 1)).astype("float32")
LABELS = np.arange(16, dtype="float32")[:, None] / 16


def model_with(*transforms):
    names = ("one", "two", "head")
    layers = [keras.layers.Dense(1, name=name) for name in names]
    model = keras.Sequential([keras.Input((3,)), *layers])
    optimizer = keras.optimizers.AdamW(0.01, weight_decay=0.1)
    if transforms:
        optimizer = optimizers.GradientTransform(optimizer, list(transforms))
    model.compile(optimizer, loss="mse")
    return model


def nested():
    """A backbone that has everything that moves without a gradient."""
    keras.utils.set_random_seed(0)
    backbone = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            L.Conv2D(3, 3, name="conv_1"),
            L.BatchNormalization(name="norm_1"),
            L.Conv2D(4, 3, name="conv_2"),
            L.BatchNormalization(name="norm_2", scale=False, center=False),
            L.Dropout(0.3, seed=1, name="drop"),
        ],
        name="backbone",
    )
    inputs = keras.Input((6, 6, 1))
    x = L.GlobalAveragePooling2D()(backbone(inputs))
    model = keras.Model(inputs, L.Dense(1, name="head")(x))
    model.compile(keras.optimizers.AdamW(0.01, weight_decay=0.1), loss="mse")
    return model


class Moved(keras.callbacks.Callback):
    """Names of the layers of which anything moved, epoch by epoch."""

    def __init__(self):
        super().__init__()
        self.epochs = []

    def _digests(self):
        model = self.model
        return freezing.digests(model, [t.item for t in layer_targets(model)])

    def on_epoch_begin(self, epoch, logs=None):
        self.before = self._digests()

    def on_epoch_end(self, epoch, logs=None):
        moved = freezing.moved(self.before, self._digests())
        self.epochs.append({path.split("/")[-2] for path in moved})


def fit(model, callbacks, x=X, y=Y, **options):
    model.fit(
        x, y, batch_size=4, callbacks=callbacks, shuffle=False, verbose=0, **options
    )


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_layers_thaw_in_their_epochs(policy):
    keras.config.set_dtype_policy(policy)
    model, moved = model_with(), Moved()
    # Of two epochs for a layer the first counts.
    thaw = GradualUnfreezing({1: "two", 2: [model.get_layer("one")], 3: "two"})
    fit(model, [thaw, moved], epochs=4)
    if policy == "mixed_float16":  # loss scaling drops its first steps
        assert not {"one", "two"} & moved.epochs[0]
        assert "one" not in moved.epochs[1]
        assert moved.epochs[3] == {"one", "two", "head"}
    else:
        expected = [{"head"}, {"two", "head"}, {"one", "two", "head"}]
        assert moved.epochs == [*expected, expected[2]]


def _slow(value, id):
    """What selects is tested by itself too, in tests/_internal/test_select.py."""
    return pytest.param(value, id=id, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    "selector",
    [
        pytest.param(lambda model: "^backbone$", id="name"),
        _slow(lambda model: "^backbone/", id="paths"),
        _slow(lambda model: model.get_layer("backbone"), id="model"),
        _slow(lambda model: model.get_layer("backbone").layers, id="layers"),
        pytest.param(
            lambda model: lambda layer: layer.name not in ("head",), id="function"
        ),
    ],
)
def test_nothing_of_a_frozen_backbone_moves(selector):
    """Neither statistics of BatchNormalization nor states of Dropout."""
    model, moved = nested(), Moved()
    thaw = GradualUnfreezing({2: selector(model)})
    fit(model, [thaw, moved], IMAGES, LABELS, epochs=3)
    assert moved.epochs[:2] == [{"head"}] * 2
    everything = {"conv_1", "norm_1", "conv_2", "norm_2", "drop", "head"}
    assert moved.epochs[2] == everything


def test_parts_of_a_backbone_thaw_and_excluded_layers_never():
    model, moved = nested(), Moved()
    thaw = GradualUnfreezing({1: "_2$|drop", 2: "^backbone"}, exclude="/norm_")
    fit(model, [thaw, moved], IMAGES, LABELS, epochs=3)
    second = {"conv_2", "drop", "head"}
    assert moved.epochs == [{"head"}, second, second | {"conv_1"}]
    assert freezing.is_frozen(model.get_layer("backbone").get_layer("norm_2"))


def test_a_saved_model_goes_on_where_it_was(tmp_path):
    moved = Moved()
    model, unfreezing = nested(), GradualUnfreezing({2: "conv|norm", 0: "head"})
    fit(model, [unfreezing], IMAGES, LABELS, epochs=1)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert len(loaded.trainable_variables) == 2
    unfreezing = GradualUnfreezing({2: "conv|norm", 0: "head"})
    fit(loaded, [unfreezing, moved], IMAGES, LABELS, epochs=3, initial_epoch=1)
    assert moved.epochs[0] == {"head", "drop"}
    assert moved.epochs[1] >= {"conv_1", "norm_1", "conv_2", "norm_2", "head"}
    # Another fit from the beginning freezes again, what is there or not.
    fit(loaded, [unfreezing, moved], IMAGES, LABELS, epochs=1)
    assert moved.epochs[2] == {"head", "drop"}


def test_layers_that_a_mask_of_the_optimizer_holds():
    """`optimizers.Freeze` holds weights; with the callback statistics hold, too."""
    model, moved = nested(), Moved()
    sgd = keras.optimizers.SGD(0.1)
    freeze = optimizers.Freeze(["conv_", "norm_1"])
    model.compile(optimizers.GradientTransform(sgd, [freeze]), loss="mse")
    fit(model, [moved], IMAGES, LABELS)
    assert moved.epochs == [{"norm_1", "norm_2", "drop", "head"}]
    unfreezing = GradualUnfreezing({1: ["conv_2", "drop"]})
    fit(model, [unfreezing, moved], IMAGES, LABELS, epochs=2)
    assert moved.epochs[1:] == [
        {"norm_2", "head"},
        {"norm_2", "conv_2", "drop", "head"},
    ]


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
    unfreezing = GradualUnfreezing({1: "one", 2: "two"})
    fit(model, [unfreezing, moved], epochs=3)
    assert moved.epochs == [{"head"}, {"one", "head"}, {"one", "two", "head"}]


def test_misuse_is_named_and_changes_nothing():
    model = model_with()
    before = model.get_weights()
    for wrong in ({0: "nowhere"}, {0: "head", 1: "two/"}, {0: model.layers[0].kernel}):
        with pytest.raises(ValueError, match="at least one layer"):
            fit(model, [GradualUnfreezing(wrong)])
    with pytest.raises(ValueError, match="`exclude` must match"):
        fit(model, [GradualUnfreezing({1: "two"}, exclude="nowhere")])
    assert len(model.trainable_variables) == 6
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    with pytest.raises(TypeError, match="schedule"):
        GradualUnfreezing("one/")
    with pytest.raises(ValueError, match="epoch"):
        GradualUnfreezing({-1: "one/"})
    with pytest.raises(ValueError, match="regular expression"):
        GradualUnfreezing({0: "("})
