"""Frozen layers of compiled models: every optimizer, nested models, a running fit."""

import keras
import numpy as np
import pytest

from keras_strategies import optimizers
from keras_strategies._internal import freezing, keras_private
from keras_strategies._internal.select import layer_targets

L = keras.layers
RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 6)).astype("float32")
Y = RNG.normal(size=(24, 2)).astype("float32")

OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.01, momentum=0.9),
    "adam": lambda: keras.optimizers.Adam(0.01, amsgrad=True),
    "adamw": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1),
    "rmsprop": lambda: keras.optimizers.RMSprop(0.01, momentum=0.9, centered=True),
    "adagrad": lambda: keras.optimizers.Adagrad(0.01),
    "adadelta": lambda: keras.optimizers.Adadelta(0.01),
    "adamax": lambda: keras.optimizers.Adamax(0.01),
    "nadam": lambda: keras.optimizers.Nadam(0.01),
    "ftrl": lambda: keras.optimizers.Ftrl(0.01),
    "lion": lambda: keras.optimizers.Lion(0.001),
    "lamb": lambda: keras.optimizers.Lamb(0.01),
    "adafactor": lambda: keras.optimizers.Adafactor(0.01),
    "muon": lambda: keras.optimizers.Muon(0.01),
    "ema": lambda: keras.optimizers.Adam(0.01, use_ema=True, ema_momentum=0.5),
    "accumulation": lambda: keras.optimizers.Adam(0.01, gradient_accumulation_steps=2),
    "schedule": lambda: keras.optimizers.Adam(
        keras.optimizers.schedules.ExponentialDecay(0.01, 2, 0.5)
    ),
    "loss scale": lambda: keras.optimizers.LossScaleOptimizer(
        keras.optimizers.Adam(0.01), initial_scale=8.0, dynamic_growth_steps=3
    ),
    "radam": lambda: optimizers.RAdam(0.01),
    "lookahead": lambda: optimizers.Lookahead(keras.optimizers.Adam(0.01), 3),
    "transforms": lambda: optimizers.GradientTransform(
        keras.optimizers.Adam(0.01),
        [
            optimizers.PercentileClip(50.0, window=10),
            optimizers.AddNoise(0.01, seed=3),
            optimizers.LayerwiseDecay(0.5, ["body/", "head/"]),
        ],
    ),
}
if keras.backend.backend() == "jax":
    # There Keras 3.15 cannot `fit` twice with `use_ema`: the averages are lost.
    del OPTIMIZERS["ema"]
FAST = ("adam", "transforms")
EACH = [
    pytest.param(name, marks=[] if name in FAST else [pytest.mark.slow])
    for name in OPTIMIZERS
]


def network(optimizer=None):
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((6,)),
            L.Dense(5, name="body"),
            L.BatchNormalization(name="norm"),
            L.Dropout(0.3, seed=1, name="drop"),
            L.Dense(2, name="head"),
        ]
    )
    if optimizer is not None:
        model.compile(optimizer, "mse")
    return model


def steps(model, epochs=1):
    model.fit(X, Y, batch_size=8, epochs=epochs, shuffle=False, verbose=0)


def values(variables):
    return [np.array(keras.ops.convert_to_numpy(v)) for v in variables]


def parts(model, *names):
    return [model.get_layer(name) for name in names]


def assert_same(first, second, **tolerance):
    for one, two in zip(first, second, strict=True):
        np.testing.assert_allclose(one, two, **tolerance)


@pytest.mark.parametrize("name", EACH)
def test_an_optimizer_goes_on_where_it_was(name):
    plain, model = network(OPTIMIZERS[name]()), network(OPTIMIZERS[name]())
    steps(plain)
    steps(plain)
    steps(model)
    before = values(model.optimizer.variables)
    optimizer = model.optimizer
    freezing.freeze_layers(model, parts(model, "body", "norm"))
    assert [v.path for v in model.trainable_variables] == [
        v.path for v in model.get_layer("head").trainable_variables
    ]
    freezing.unfreeze_layers(model, parts(model, "body", "norm"))
    assert model.optimizer is optimizer
    assert_same(before, values(model.optimizer.variables), rtol=0)
    steps(model)
    assert_same(values(plain.weights), values(model.weights), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("name", EACH)
def test_frozen_layers_stay_and_the_file_goes_on(name, tmp_path):
    model = network(OPTIMIZERS[name]())
    steps(model)
    frozen = parts(model, "body", "norm", "drop")
    kept = freezing.digests(model, frozen)
    assert len(kept) == 2 + 4 + 1
    head = freezing.digests(model, parts(model, "head"))
    freezing.freeze_layers(model, frozen)
    steps(model, 2)
    assert freezing.moved(kept, freezing.digests(model, frozen)) == []
    after = freezing.digests(model, parts(model, "head"))
    assert freezing.moved(head, after) == ["head/kernel", "head/bias"]
    if name == "transforms":  # its pattern "body/" finds nothing when it is loaded
        return
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert_same(
        values(model.optimizer.variables), values(loaded.optimizer.variables), rtol=0
    )
    steps(loaded)
    assert freezing.moved(kept, freezing.digests(loaded, parts(loaded, "body"))) == []


@pytest.mark.parametrize(
    "name", sorted({"adam", "ema", "lookahead", "accumulation"} & set(OPTIMIZERS))
)
def test_a_layer_that_was_frozen_at_first_starts_to_train(name):
    model = network()
    freezing.freeze_layers(model, parts(model, "body", "norm", "drop"))
    model.compile(OPTIMIZERS[name](), "mse")
    steps(model)
    start = values(model.get_layer("body").weights)
    freezing.unfreeze_layers(model, parts(model, "body", "norm", "drop"))
    steps(model)
    moved = values(model.get_layer("body").weights)
    # Averages and slow weights that begin at zero would throw the weights there.
    for before, after in zip(start, moved, strict=True):
        assert 0 < np.abs(after - before).max() < 0.1


def test_several_optimizers():
    body, head = keras.optimizers.Adam(0.01), keras.optimizers.SGD(0.01, momentum=0.9)
    choose = lambda variable: head if "head" in variable.path else body  # noqa: E731
    model = network(keras.optimizers.MultiOptimizer(choose))
    steps(model)
    before = values(model.optimizer.variables)
    frozen = parts(model, "body", "norm", "drop")
    kept = freezing.digests(model, frozen)
    freezing.freeze_layers(model, frozen)
    steps(model)
    assert freezing.moved(kept, freezing.digests(model, frozen)) == []
    freezing.unfreeze_layers(model, frozen)
    assert len(values(model.optimizer.variables)) == len(before)
    steps(model)
    assert freezing.moved(kept, freezing.digests(model, frozen))


class Thaw(keras.callbacks.Callback):
    """Changes what trains when an epoch begins."""

    def __init__(self, plan):
        super().__init__()
        self.plan, self.moves = plan, []

    def on_epoch_begin(self, epoch, logs=None):
        for change, name in self.plan.get(epoch, ()):
            change(self.model, parts(self.model, name))
        self.before = freezing.digests(self.model, self.model.layers)

    def on_epoch_end(self, epoch, logs=None):
        after = freezing.digests(self.model, self.model.layers)
        moved = freezing.moved(self.before, after)
        self.moves.append(sorted({path.partition("/")[0] for path in moved}))


def test_between_the_epochs_of_a_fit():
    model = network(keras.optimizers.Adam(0.01))
    freezing.freeze_layers(model, parts(model, "body", "norm", "drop"))
    thaw = Thaw(
        {
            1: [(freezing.unfreeze_layers, "body")],
            2: [(freezing.unfreeze_layers, "norm"), (freezing.freeze_layers, "head")],
        }
    )
    model.fit(X, Y, batch_size=8, epochs=3, callbacks=[thaw], verbose=0)
    assert thaw.moves == [["head"], ["body", "head"], ["body", "norm"]]
    assert int(keras.ops.convert_to_numpy(model.optimizer.iterations)) == 9


class Noisy(keras.Model):
    """Subclassed, with layers inside a layer and one that draws."""

    def __init__(self):
        super().__init__()
        self.inner = keras.Sequential([L.Dense(4), L.GaussianNoise(1.0, seed=1)])
        self.out = L.Dense(2)

    def call(self, x, training=None):
        return self.out(self.inner(x, training=training))


def nested(kind):
    keras.utils.set_random_seed(2)
    if kind == "subclassed":
        model = Noisy()
        model(X)
        return model, model.inner
    layers = [L.Dense(4), L.BatchNormalization(), L.Dropout(0.5, seed=1)]
    backbone = keras.Sequential([keras.Input((6,)), *layers], name="backbone")
    if kind == "twice":
        backbone = keras.Sequential([keras.Input((6,)), backbone], name="outer")
    inputs = keras.Input((6,))
    outputs = L.Dense(2)(L.Dropout(0.5, seed=2)(backbone(inputs, training=False)))
    return keras.Model(inputs, outputs), backbone


@pytest.mark.parametrize("kind", ["nested", "twice", "subclassed"])
def test_models_in_models(kind):
    model, backbone = nested(kind)
    model.compile("adam", "mse")
    steps(model)
    frozen = [backbone, *(t.item for t in layer_targets(backbone))]
    kept = freezing.digests(model, frozen)
    freezing.freeze_layers(model, frozen)
    assert backbone.trainable is False and model.trainable is True
    steps(model)
    assert freezing.moved(kept, freezing.digests(model, frozen)) == []
    freezing.unfreeze_layers(model, frozen)
    assert all(layer.trainable for layer in frozen)
    steps(model)
    moved = freezing.moved(kept, freezing.digests(model, frozen))
    if keras.backend.backend() == "torch":  # Dropout draws from Torch's own state
        assert len(moved) >= 2
    else:
        assert sorted(moved) == sorted(path.rpartition("#")[0] for path in kept)


def test_one_layer_inside_a_frozen_model():
    model, backbone = nested("nested")
    backbone.trainable = False
    model.compile("adam", "mse")
    dense = backbone.layers[0]
    freezing.unfreeze_layers(model, [dense])
    others = [layer for layer in backbone.layers if layer is not dense]
    kept = freezing.digests(model, others)
    steps(model)
    # Frozen by Keras's flag, so Dropout may draw; weights and statistics may not.
    moved = freezing.moved(kept, freezing.digests(model, others))
    assert all("seed_generator" in path for path in moved)
    assert backbone.trainable and dense.trainable and not others[0].trainable


def test_what_the_user_froze_comes_back_as_it_was():
    model = network()
    body = model.get_layer("body")
    body.bias.trainable = False
    freezing.freeze_layers(model, [body])
    freezing.unfreeze_layers(model, [body])
    assert body.kernel.trainable and not body.bias.trainable


def test_lora_weights_train_alone():
    model = network()
    body = model.get_layer("body")
    body.enable_lora(2)
    body.trainable = False
    freezing.unfreeze_layers(model, [body])
    names = [v.name for v in body.trainable_variables]
    assert names == ["bias", "lora_kernel_a", "lora_kernel_b"]


def test_dropout_is_off_in_frozen_layers_and_on_elsewhere():
    model = network()
    outputs = lambda: values([model(X, training=True)])[0]  # noqa: E731
    assert np.abs(outputs() - outputs()).max() > 0
    freezing.freeze_layers(model, parts(model, "drop", "norm"))
    np.testing.assert_array_equal(outputs(), outputs())
    np.testing.assert_array_equal(outputs(), values([model(X, training=False)])[0])
    freezing.unfreeze_layers(model, parts(model, "drop"))
    assert np.abs(outputs() - outputs()).max() > 0


def test_all_is_as_before_if_the_optimizer_cannot_be_built(monkeypatch):
    model = network(keras.optimizers.Adam(0.01))
    steps(model)
    before = values(model.optimizer.variables)
    flags = [v.trainable for v in model.weights]

    def broken(self, variables):
        raise RuntimeError("no memory")

    monkeypatch.setattr(keras.optimizers.Adam, "build", broken)
    with pytest.raises(RuntimeError, match="no memory"):
        freezing.freeze_layers(model, parts(model, "body", "drop"))
    monkeypatch.undo()
    assert [v.trainable for v in model.weights] == flags
    assert_same(before, values(model.optimizer.variables), rtol=0)
    assert not any(freezing.is_frozen(layer) for layer in model.layers)
    steps(model)


def test_a_call_at_inference_takes_training_by_position_too():
    class Echo(L.Layer):
        def call(self, x, training=None):
            return x + 1.0 if training else x

    layer = Echo()
    release = keras_private.hold_at_inference(layer)
    np.testing.assert_array_equal(values([layer.call(X, True)])[0], X)
    np.testing.assert_array_equal(values([layer(X, training=True)])[0], X)
    release()
    assert "call" not in layer.__dict__
    np.testing.assert_array_equal(values([layer(X, training=True)])[0], X + 1)
    assert keras_private.hold_at_inference(L.ReLU()) is None
