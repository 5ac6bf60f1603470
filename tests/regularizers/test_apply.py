"""Regularizers for an existing model: they count, they are saved, weights stay."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_strategies._internal import keras_private, select
from keras_strategies.regularizers import GroupLasso, KLSparsity, apply

KL = keras.layers


def _mlp():
    inner = keras.Sequential(
        [keras.Input((4,)), KL.Dense(3, name="inside")], name="inner"
    )
    inputs = keras.Input((4,))
    x = inner(inputs)
    x = KL.Dense(3, activation="sigmoid", kernel_regularizer="l1", name="middle")(x)
    return keras.Model(inputs, KL.Dense(2, name="head")(x))


def _data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(16, 4)).astype("float32"), np.ones((16, 2), "float32")


def _losses(model):
    return sum(float(ops.convert_to_numpy(loss)) for loss in model.losses)


def _squares(*weights):
    return sum((ops.convert_to_numpy(w).astype("float64") ** 2).sum() for w in weights)


def test_compiled_model_counts_them_in_fit_and_evaluate():
    model, (x, y) = _mlp(), _data()
    model.compile(keras.optimizers.Adam(0.0), "mse")
    model.fit(x, y, verbose=0)
    model.evaluate(x, y, verbose=0)
    weights, steps = model.get_weights(), int(model.optimizer.iterations)
    plain = np.mean((model.predict(x, verbose=0) - y) ** 2)
    assert apply(model, kernel=keras.regularizers.L2(0.5)) is model
    apply(model, bias=keras.regularizers.L1(3.0), include="head")
    model.get_layer("head").bias.assign([1.0, -1.0])
    plain = np.mean((model.predict(x, verbose=0) - y) ** 2)
    kernels = [w for w in model.weights if w.name == "kernel"]
    expected = plain + 0.5 * _squares(*kernels) + 3.0 * 2
    assert len(kernels) == len(model.losses) - 1 == 3
    assert model.evaluate(x, y, verbose=0) == pytest.approx(expected, rel=1e-4)
    fitted = model.fit(x, y, batch_size=16, verbose=0).history["loss"][0]
    assert fitted == pytest.approx(expected, rel=1e-4)
    assert int(model.optimizer.iterations) == steps + 1
    for before, after in zip(weights[:-1], model.get_weights()[:-1], strict=True):
        np.testing.assert_array_equal(before, after)
    apply(model, kernel=False, bias=False)
    assert not model.losses
    assert model.evaluate(x, y, verbose=0) == pytest.approx(plain, rel=1e-4)


def test_gradient_really_has_the_penalty():
    model, (x, y) = _mlp(), _data()
    model.compile(keras.optimizers.SGD(0.1), loss=lambda y, p: 0.0 * ops.mean(p))
    apply(model, kernel=False)
    apply(model, kernel=keras.regularizers.L2(1.0), include="inside")
    before = ops.convert_to_numpy(model.get_layer("inner").get_layer("inside").kernel)
    model.train_on_batch(x, y)
    after = ops.convert_to_numpy(model.get_layer("inner").get_layer("inside").kernel)
    np.testing.assert_allclose(after, 0.8 * before, rtol=1e-4, atol=1e-6)


def test_activity_counts_and_is_replaced():
    model, (x, y) = _mlp(), _data()
    model.compile("adam", "mse")
    apply(model, kernel=False, activity="l1", include="middle")
    apply(model, activity=KLSparsity(1.0, 0.3), include="middle")
    model(x)
    assert len(model.losses) == 1
    plain, penalty = np.mean((ops.convert_to_numpy(model(x)) - y) ** 2), _losses(model)
    got = model.evaluate(x, y, batch_size=16, verbose=0)
    assert got == pytest.approx(plain + penalty, rel=1e-4)


def _zoo():
    """Layers that keep their kernels in different places, in one model."""
    images, words = keras.Input((6, 6, 4)), keras.Input((5, 4))
    x = KL.Conv2D(4, 3, padding="same")(images)
    x = KL.DepthwiseConv2D(3)(x)
    x = KL.SeparableConv2D(4, 2)(x)
    x = KL.Flatten()(KL.Conv2DTranspose(2, 2)(x))
    y = KL.TimeDistributed(KL.Dense(4))(words)
    y = KL.Bidirectional(KL.GRU(3, return_sequences=True))(y)
    y = KL.MultiHeadAttention(2, 3, name="heads")(y, y)
    y = KL.GroupQueryAttention(2, 2, 1)(y, y)
    y = KL.RNN(KL.SimpleRNNCell(2))(y)
    return keras.Model([images, words], KL.Dense(2)(KL.Concatenate()([x, y])))


@pytest.fixture(scope="module")
def zoo():
    if keras.backend.backend() == "jax":
        pytest.skip("building and calling recurrent layers there takes very long")
    return _zoo()


def test_every_kind_of_layer_has_it_and_keeps_it_in_its_file(zoo, tmp_path):
    apply(zoo, kernel=GroupLasso(0.5), bias=keras.regularizers.L2(0.25))
    kernels = [w for w in zoo.weights if "kernel" in w.name]
    biases = [w for w in zoo.weights if w.name == "bias"]
    assert len(kernels) == 5 + 1 + 4 + 4 + 4 + 2 + 1
    assert len(zoo.losses) == len(kernels) + len(biases)
    apply(zoo, activity="l2")
    rng = np.random.default_rng(0)
    x = [rng.normal(size=s).astype("float32") for s in ((2, 6, 6, 4), (2, 5, 4))]
    zoo(x)
    # 4 convolutions, 2 Dense, 3 recurrent, 4 in each attention and one of its own
    outputs = 4 + 2 + 3 + 4 + 5
    assert len(zoo.losses) == len(kernels) + len(biases) + outputs
    expected = _losses(zoo)
    zoo.save(tmp_path / "zoo.keras")
    again = keras.models.load_model(tmp_path / "zoo.keras")
    again(x)
    assert len(again.losses) == len(zoo.losses)
    assert _losses(again) == pytest.approx(expected, rel=1e-4)
    apply(zoo, kernel=False, bias=False, activity=False)
    zoo(x)
    assert not zoo.losses
    assert "GroupLasso" not in zoo.to_json() and "L2" not in zoo.to_json()


def test_a_part_of_an_attention_layer_is_refused_and_nothing_changes(zoo):
    apply(zoo, kernel="l1")
    expected = _losses(zoo)
    with pytest.raises(ValueError, match=r"all places for `kernel`.*heads"):
        apply(zoo, kernel=False, include="conv2d|heads/query")
    assert _losses(zoo) == expected
    apply(zoo, kernel=False)


def test_a_subclassed_model():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = KL.Dense(2)

        def call(self, x):
            return self.dense(x)

    model = Net()
    with pytest.raises(ValueError, match="must be built"):
        apply(model, kernel="l2")
    model(_data()[0])
    apply(model, kernel=keras.regularizers.L2(0.5))
    assert _losses(model) == pytest.approx(0.5 * _squares(model.dense.kernel), rel=1e-5)


def test_held_regularizers_are_those_of_attention():
    attention = KL.MultiHeadAttention(1, 2)
    assert keras_private.has_inner_regularizers(attention)
    assert not keras_private.has_inner_regularizers(KL.Dense(1))
    regularizer = keras.regularizers.L2(0.5)
    for layer in (attention, KL.GroupQueryAttention(2, 2, 1)):
        keras_private.set_inner_regularizer(layer, "kernel_regularizer", regularizer)
        config = layer.get_config()["kernel_regularizer"]
        assert keras.regularizers.get(config).get_config() == regularizer.get_config()
    with pytest.raises(AttributeError, match="no 'speed_regularizer'"):
        keras_private.set_inner_regularizer(layer, "speed_regularizer", regularizer)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (lambda m: {"include": "inner/"}, ["inner/inside"]),
        (lambda m: {"include": "^inner$"}, ["inner/inside"]),
        (lambda m: {"include": m.get_layer("inner")}, ["inner/inside"]),
        (lambda m: {"include": ["head", "middle/kernel"]}, ["middle", "head"]),
        (lambda m: {"include": m.get_layer("head").kernel}, ["head"]),
        (lambda m: {"exclude": lambda layer: layer.units == 3}, ["head"]),
        (lambda m: {"exclude": [m.get_layer("inner"), "head"]}, ["middle"]),
    ],
)
def test_weights_are_selected_by_path_layer_weight_and_function(arguments, expected):
    model = _mlp()
    apply(model, kernel=False)
    apply(model, kernel="l2", **arguments(model))
    targets = select.layer_targets(model)
    regularized = [
        target.path
        for target in targets
        if getattr(target.item, "kernel_regularizer", None) is not None
    ]
    assert regularized == expected
    assert len(model.losses) == len(expected)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_copy_gets_them_and_the_model_does_not(compiled):
    model, (x, y) = _mlp(), _data()
    if compiled:
        model.compile(keras.optimizers.Adam(0.01), "mse")
        model.fit(x, y, verbose=0)
    apply(model, kernel=False)
    include = [model.get_layer("head"), model.get_layer("inner")]
    copy = apply(model, kernel=keras.regularizers.L2(0.5), include=include, copy=True)
    assert copy is not model and not model.losses
    assert model.get_layer("head").kernel_regularizer is None
    kernels = [copy.get_layer("head").kernel, copy.get_layer("inner").weights[0]]
    assert _losses(copy) == pytest.approx(0.5 * _squares(*kernels), rel=1e-5)
    for old, new in zip(model.get_weights(), copy.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    if compiled:
        assert int(copy.optimizer.iterations) == int(model.optimizer.iterations) == 1
        plain = model.evaluate(x, y, verbose=0)
        assert copy.evaluate(x, y, verbose=0) == pytest.approx(
            plain + _losses(copy), rel=1e-4
        )


def test_one_entry_may_be_for_weights_and_another_for_layers():
    model = _mlp()
    apply(
        model, kernel="l1", activity="l2", include=["inside/kernel", "middle$", "head"]
    )
    assert model.get_layer("middle").activity_regularizer is not None
    with pytest.raises(ValueError, match="leave a place for `activity`"):
        apply(model, kernel=False, activity="l1", include="inside/kernel")
    assert model.get_layer("middle").kernel_regularizer is not None


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, ValueError, "must be given"),
        ({"kernel": "l2", "include": "nothing"}, ValueError, "`include` must match"),
        ({"kernel": "l2", "include": "("}, ValueError, "valid regular expression"),
        ({"kernel": "l2", "include": 3}, TypeError, "`include` must be"),
        ({"kernel": "l2", "copy": 1}, TypeError, "`copy` must be"),
        ({"kernel": True}, TypeError, "`kernel` must be"),
        ({"kernel": "l2", "activity": 0.1}, TypeError, "`activity` must be"),
    ],
)
def test_bad_arguments_change_nothing(arguments, error, message):
    model = _mlp()
    with pytest.raises(error, match=message):
        apply(model, **arguments)
    assert len(model.losses) == 1
    with pytest.raises(ValueError, match="place for `bias`"):
        apply(keras.Sequential([keras.Input((2,)), KL.ReLU()]), bias="l2")
