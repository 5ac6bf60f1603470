"""tune_model and the hypermodels that vary one side of a given model."""

import keras
import numpy as np
import pytest

from keras_strategies import tuning
from keras_strategies.augmentation import RandomAffine
from keras_strategies.tuning.hypermodels._rewrite import Changes, rewrite
from tests.tuning.searching import digits, search, space

FAST = {"batch_size": 64}
HYPER = {
    "HyperActivation": {"activation": ("relu", "tanh")},
    "HyperAugment": {},
    "HyperInitializer": {},
    "HyperOptimizer": {"optimizer": ("sgd", "adam")},
    "HyperRegularization": {},
    "HyperSchedule": {"schedule": ("cosine", "one_cycle")},
}
NAMES = sorted(HYPER)
layers = keras.layers


def network(activation="relu"):
    """A residual network with every sort of hidden activation, dropout and a frozen
    layer."""
    inputs = keras.Input((6, 6, 1), name="picture")
    x = layers.Conv2D(4, 3, padding="same", name="stem", activation=activation)(inputs)
    y = layers.Conv2D(4, 3, padding="same", use_bias=False, name="branch")(x)
    y = layers.BatchNormalization(name="norm")(y)
    y = layers.ReLU(name="relu")(y)
    y = layers.Dense(4, activation="sigmoid", name="gate")(y)
    x = x * y + 1.0
    x = layers.Flatten(name="flat")(x)
    frozen = layers.Dense(3, activation=activation, name="frozen", trainable=False)
    x = frozen(x)
    x = layers.Dropout(0.25, name="drop")(x)
    x = layers.Dense(10, name="logits")(x)
    model = keras.Model(inputs, layers.Activation("softmax", name="answer")(x))
    model.compile(
        keras.optimizers.SGD(0.25, momentum=0.5),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def plain():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dense(3, activation="relu", name="one"),
            layers.Dense(3, activation="relu", name="two"),
            layers.Dense(1, name="three"),
        ]
    )
    model.compile("adam", "mse", metrics=["mae"])
    return model


def names(model):
    return [layer.name for layer in model.layers]


# Searches


def hyper(name, shape=(8, 8, 1), **arguments):
    return getattr(tuning, name)(shape, classes=10, **HYPER[name], **FAST, **arguments)


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name != "HyperOptimizer" else [])
        for name in (*NAMES, "tune_model")
    ],
)
def test_search_reloads_its_best_model(name, tmp_path):
    x, y = digits()
    shape = (64,)
    if name == "HyperAugment":
        shape, x = (8, 8, 1), x.reshape(-1, 8, 8, 1)
    if name == "tune_model":
        x = x.reshape(-1, 8, 8, 1)[:, 1:7, 1:7]
        hypermodel = tuning.tune_model(network(), batch_size=(32, 64), epochs=(1, 2))
    else:
        hypermodel = hyper(name, shape)
    epochs = None if name == "tune_model" else 1
    tuner, _ = search(hypermodel, x / 16, y, tmp_path, epochs=epochs)
    for trial in tuner.oracle.trials.values():
        declared = {item.name for item in space(hypermodel).space}
        assert declared >= set(trial.hyperparameters.values)


@pytest.mark.parametrize("name", NAMES)
def test_given_model_is_varied_and_left_alone(name):
    model = network()
    before = [np.array(w) for w in model.get_weights()]
    config = model.get_config()
    hypermodel = getattr(tuning, name)(model=model, **HYPER[name])
    hp = space(hypermodel)
    assert len({item.name for item in hp.space}) == len(hp.space) > 0
    top = {item.name: item.prob_to_value(0.999) for item in hp.space}
    copy = hypermodel.build(space(hypermodel, **top))
    assert copy is not model and copy.compiled
    assert model.get_config() == config
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="default network.*classes=3"):
        getattr(tuning, name)(classes=3, model=model)
    with pytest.raises(ValueError, match="model=None"):
        getattr(tuning, name)()


# Changes of layers


def test_nothing_changed_is_the_same_function():
    for model, shape in ((network(), (2, 6, 6, 1)), (plain(), (2, 4))):
        copy = rewrite(model, Changes(), keep_weights=True)
        x = np.random.default_rng(0).normal(size=shape)
        np.testing.assert_allclose(
            copy.predict(x, verbose=0), model.predict(x, verbose=0)
        )
        assert copy.output_shape == model.output_shape
        fresh = rewrite(model, Changes())
        assert fresh.count_params() == model.count_params()
        same = [
            np.array_equal(a, b)
            for a, b in zip(model.weights, fresh.weights, strict=True)
        ]
        assert not all(same)
    frozen = rewrite(network(), Changes())
    assert not frozen.get_layer("frozen").trainable


def test_frozen_layers_and_data_keep_their_weights():
    norm = layers.Normalization(name="data")
    norm.adapt(np.array([[1.0, 2.0, 3.0, 9.0]] * 2) * [[1.0], [2.0]])
    base = keras.Sequential(
        [keras.Input((4,)), layers.Dense(3, name="base"), layers.BatchNormalization()],
        name="backbone",
    )
    base.trainable = False
    model = keras.Sequential(
        [keras.Input((4,)), norm, base, layers.Dense(2, name="top")]
    )
    model.compile("sgd", "mse")
    copy = rewrite(model, Changes(dropout=0.1))
    for name in ("data", "backbone"):
        pair = zip(
            model.get_layer(name).weights, copy.get_layer(name).weights, strict=True
        )
        for one, other in pair:
            np.testing.assert_array_equal(np.array(one), np.array(other))
    assert not np.array_equal(
        model.get_layer("top").kernel, copy.get_layer("top").kernel
    )


def test_activation_changes_hidden_layers_only():
    copy = rewrite(network(), Changes(activation="tanh"))
    kept = {"branch": "linear", "gate": "sigmoid", "logits": "linear"}
    changed = {"stem": "tanh", "relu": "tanh", "frozen": "tanh", "answer": "softmax"}
    for name, expected in {**kept, **changed}.items():
        layer = copy.get_layer(name)
        assert keras.activations.serialize(layer.activation) == expected, name
    assert names(copy) == names(network())


def test_initializer_and_penalty_reach_all_kernels():
    copy = rewrite(network(), Changes(initializer="orthogonal", penalty=(0.5, 0.25)))
    for name in ("stem", "branch", "gate", "frozen", "logits"):
        layer = copy.get_layer(name)
        assert isinstance(layer.kernel_initializer, keras.initializers.Orthogonal)
        regularizer = layer.kernel_regularizer
        assert (float(regularizer.l1), float(regularizer.l2)) == (0.5, 0.25), name
    bare = rewrite(copy, Changes(penalty=(0.0, 0.0)))
    assert bare.get_layer("stem").kernel_regularizer is None


def test_dropout_is_set_or_added():
    copy = rewrite(network(), Changes(dropout=0.75))
    assert copy.get_layer("drop").rate == 0.75
    assert names(copy) == names(network())
    copy = rewrite(plain(), Changes(dropout=0.5))
    expected = ["one", "one_dropout", "two", "two_dropout", "three"]
    assert names(copy) == expected
    assert copy.get_layer("one_dropout").rate == 0.5


@pytest.mark.parametrize("where", ["off", "before", "after"])
def test_batch_normalization_off_before_after(where):
    model = network()
    copy = rewrite(model, Changes(batch_normalization=where), keep_weights=True)
    norms = [
        layer for layer in copy.layers if isinstance(layer, layers.BatchNormalization)
    ]
    assert "norm" not in names(copy)
    assert len(norms) == (0 if where == "off" else 3), "stem, relu, frozen"
    for norm in norms:  # at inference only divides by sqrt(1 + epsilon)
        assert norm.epsilon == 1e-3
    if where == "off":
        return
    by_name = {layer.name: layer for layer in copy.layers}
    before = where == "before"
    stem, norm = by_name["stem"], by_name["stem_batch_normalization"]
    assert norm.input is stem.output
    activation = keras.activations.serialize(stem.activation)
    assert activation == ("linear" if before else "relu")
    assert ("stem_activation" in by_name) == before
    norm, relu = by_name["relu_batch_normalization"], by_name["relu"]
    assert (relu.input is norm.output) if before else (norm.input is relu.output)


def test_shared_layer_gets_one_normalization():
    shared = layers.Dense(4, activation="relu", name="shared")
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Dense(1)(shared(shared(inputs))))
    copy = rewrite(model, Changes(batch_normalization="after", dropout=0.5))
    assert names(copy).count("shared_batch_normalization") == 1
    assert copy.count_params() == model.count_params() + 16


def test_augmentation_stands_before_the_model_in_training_only():
    model = network("tanh")
    settings = {"translation_height_factor": 0.4, "flip_mode": "vertical"}
    copy = rewrite(model, Changes(augmentation=settings), keep_weights=True)
    assert names(copy)[:2] == ["picture", "augmentation"]
    layer = copy.get_layer("augmentation")
    assert isinstance(layer, RandomAffine) and layer.flip_mode == "vertical"
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 1)).astype("float32")
    np.testing.assert_allclose(
        copy.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-5
    )
    moved = keras.ops.convert_to_numpy(copy(x, training=True))
    assert not np.allclose(moved, model.predict(x, verbose=0))


# Training


def test_optimizers_and_what_is_kept():
    hypermodel = tuning.tune_model(network(), optimizer=None, learning_rate=0.125)
    optimizer = hypermodel.build(space(hypermodel)).optimizer
    assert isinstance(optimizer, keras.optimizers.SGD) and optimizer.momentum == 0.5
    assert float(optimizer.learning_rate) == 0.125
    kept = tuning.tune_model(network(), optimizer=None, learning_rate=None)
    assert float(kept.build(space(kept)).optimizer.learning_rate) == 0.25

    hypermodel = tuning.HyperOptimizer((4,), classes=2, learning_rate_factor=100)
    hp = space(hypermodel, optimizer="sgd", momentum=0.5)
    by_name = {item.name: item for item in hp.space}
    rates = {
        name: item for name, item in by_name.items() if name.startswith("learning")
    }
    assert set(rates) == {
        f"learning_rate_{name}" for name in ("sgd", "rmsprop", "adam", "adamw", "nadam")
    }
    low, high = (
        rates["learning_rate_sgd"].min_value,
        rates["learning_rate_sgd"].max_value,
    )
    assert (low, high) == pytest.approx((1e-4, 1.0))
    assert set(hp.values) & set(rates) == {"learning_rate_sgd"}
    assert hypermodel.build(hp).optimizer.momentum == 0.5
    model = hypermodel.build(
        space(hypermodel, optimizer="adamw", weight_decay=0.0, global_clipnorm=1.0)
    )
    assert (model.optimizer.weight_decay, model.optimizer.global_clipnorm) == (0, 1)


def test_penalties_are_conditional():
    hypermodel = tuning.HyperRegularization((4,), classes=2)
    for kind, expected in (
        ("none", set()),
        ("l1", {"l1"}),
        ("l2", {"l2"}),
        ("l1_l2", {"l1", "l2"}),
    ):
        hp = space(hypermodel, regularization=kind, l1=1e-3, l2=1e-4)
        active = {item.name for item in hp.space if hp.is_active(item)}
        assert active & {"l1", "l2"} == expected
        regularizer = hypermodel.build(hp).layers[1].kernel_regularizer
        if not expected:
            assert regularizer is None
            continue
        found = (float(regularizer.l1), float(regularizer.l2))
        wanted = (1e-3 * ("l1" in expected), 1e-4 * ("l2" in expected))
        assert found == pytest.approx(wanted)


@keras.saving.register_keras_serializable("test_tune_model")
class Subclassed(keras.Model):
    def __init__(self, units=2, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.dense = layers.Dense(units)

    def call(self, x):
        return self.dense(x)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def own_loss(y_true, y_pred):
    return keras.ops.mean(keras.ops.abs(y_true - y_pred), axis=-1)


@pytest.mark.tensorflow
def test_subclassed_model_and_own_loss(tmp_path):
    model = Subclassed()
    model.compile("adam", own_loss)
    with pytest.raises(ValueError, match="has no graph.*pass None"):
        tuning.tune_model(model)
    hypermodel = tuning.tune_model(model, dropout=None, regularization=None)
    hp = space(hypermodel, optimizer="sgd", schedule="constant", batch_size=16)
    copy = hypermodel.build(hp)
    x = np.ones((8, 4), "float32")
    history = hypermodel.fit(hp, copy, x, np.ones((8, 2)), verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert not model.built


BAD = [
    ({"optimizer": "sdg"}, ValueError, "optimizer='sdg'"),
    ({"regularization": "l3"}, ValueError, "regularization='l3'"),
    ({"l2": (0, 1)}, ValueError, "l2=0"),
    ({"dropout": 1.0}, ValueError, "dropout=1.0"),
    ({"augmentation": (0, 0.9)}, ValueError, "augmentation=0.9"),
    ({"augmentation": {"turn": 1}}, ValueError, "'rotation'.*augmentation='turn'"),
    ({"augmentation": 0.2}, ValueError, r"one image input.*inputs=\[\(None, 4\)\]"),
    ({"augmentation": "much"}, ValueError, "augmentation='much'"),
    ({"batch_normalization": "on"}, ValueError, "batch_normalization='on'"),
    ({"initializer": "he"}, ValueError, "initializer='he'"),
    ({"keep_weights": 1}, TypeError, "keep_weights=1"),
]


@pytest.mark.parametrize(
    ("arguments", "error", "match"), BAD, ids=[str(bad[0]) for bad in BAD]
)
def test_bad_arguments(arguments, error, match):
    with pytest.raises(error, match=match):
        tuning.tune_model(plain(), **arguments)


def test_model_must_be_compiled():
    with pytest.raises(ValueError, match="must be compiled"):
        tuning.tune_model(keras.Sequential([keras.Input((4,)), layers.Dense(1)]))
    unbuilt = keras.Sequential([layers.Dense(1)])
    unbuilt.compile("sgd", "mse")
    with pytest.raises(ValueError, match="it is not built.*keras.Input"):
        tuning.tune_model(unbuilt)
    with pytest.raises(TypeError, match="`model` must be a Model"):
        tuning.tune_model("network")
