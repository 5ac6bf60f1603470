"""Layers put into models that exist: where, with which weights, compiled how."""

import keras
import numpy as np
import pytest

from keras_strategies.surgery import insert

KL = keras.layers
X = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")


def _plus(amount):
    """A layer that adds a number, so that outputs show where it stands."""
    return KL.Rescaling(1.0, offset=amount)


def _mlp():
    return keras.Sequential(
        [
            keras.Input((4,), name="source"),
            KL.Dense(4, name="first"),
            KL.BatchNormalization(name="norm", trainable=False),
            KL.Dense(1, name="head"),
        ]
    )


def _network():
    """A shared layer, a residual sum, nested models of both kinds and two inputs."""
    inner = keras.Sequential([keras.Input((4,)), KL.Dense(4, name="deep")], name="seq")
    entry = keras.Input((4,), name="entry")
    backbone = keras.Model(entry, KL.Dense(4, name="deep")(inner(entry)), name="back")
    backbone.trainable = False
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    shared = KL.Dense(4, name="shared")
    x = backbone(shared(a) + shared(b))
    return keras.Model([a, b], KL.Dense(1, name="head")(x), name="network")


def _same(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b)
        )


def _predict(model, *x):
    return keras.ops.convert_to_numpy(model(list(x) if len(x) > 1 else x[0]))


def test_sequential_goes_on_with_its_optimizer():
    model = _mlp()
    model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"])
    model.fit(X, X[:, :1], batch_size=4, verbose=0)
    before = model.get_weights()
    copy = insert(model, "^(source|first)$", lambda layer: KL.Dropout(0.5))
    assert [type(layer).__name__ for layer in copy.layers] == [
        *("Dropout", "Dense", "Dropout", "BatchNormalization", "Dense")
    ]
    assert not copy.get_layer("norm").trainable
    np.testing.assert_allclose(_predict(copy, X), _predict(model, X), rtol=1e-5)
    _same(copy.optimizer.variables, model.optimizer.variables)
    assert int(copy.optimizer.iterations) == 2
    assert copy.evaluate(X, X[:, :1], verbose=0) == pytest.approx(
        model.evaluate(X, X[:, :1], verbose=0), rel=1e-5
    )
    copy.fit(X, X[:, :1], batch_size=4, verbose=0)
    assert int(copy.optimizer.iterations) == 4
    _same(model.get_weights(), before)


def test_new_weights_start_the_optimizer_anew():
    model = _mlp()
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "mse")
    model.train_on_batch(X, X[:, :1])
    copy = insert(model, "^first$", lambda layer: KL.LayerNormalization())
    assert int(copy.optimizer.iterations) == 0
    assert copy.optimizer.momentum == 0.9
    assert len(copy.trainable_variables) == len(model.trainable_variables) + 2
    _same(copy.get_layer("first").get_weights(), model.get_layer("first").get_weights())
    copy.train_on_batch(X, X[:, :1])


def test_functional_with_shared_and_nested_layers(tmp_path):
    model = _network()
    copy = insert(model, "shared|back/seq/deep", lambda layer: _plus(1.0))
    by_hand = model.get_layer("shared")(X) + model.get_layer("shared")(2 * X) + 2
    back = model.get_layer("back")
    x = back.get_layer("deep")(back.get_layer("seq")(by_hand) + 1)
    expected = _predict(model.get_layer("head"), x)
    np.testing.assert_allclose(_predict(copy, X, 2 * X), expected, rtol=1e-4, atol=1e-5)
    names = [layer.name for layer in copy.layers]
    assert [name for name in names if "rescaling" not in name] == [
        layer.name for layer in model.layers
    ]
    assert len(names) == len(model.layers) + 1
    assert not copy.get_layer("back").trainable
    assert copy.get_layer("head").trainable
    # Outputs of its layers belong to its own graph.
    features = keras.Model(copy.input, copy.get_layer("head").input)
    assert _predict(features, X, X).shape == (8, 4)
    copy.save(tmp_path / "copy.keras")
    again = keras.models.load_model(tmp_path / "copy.keras")
    np.testing.assert_allclose(_predict(again, X, 2 * X), expected, rtol=1e-4)


def test_functional_behind_inputs_and_outputs_and_inside():
    model = _network()
    model.compile("adam", keras.losses.MeanSquaredError())
    plain = _predict(model, X, X)
    copy = insert(
        model, "^a$|^head$", lambda layer: _plus(2.0 if layer.name == "head" else 0.0)
    )
    np.testing.assert_allclose(_predict(copy, X, X), plain + 2, rtol=1e-4, atol=1e-5)
    assert copy.compiled and isinstance(copy.loss, keras.losses.MeanSquaredError)
    moved = insert(model, "^a$", lambda layer: _plus(0.5))
    np.testing.assert_allclose(
        _predict(moved, X, X), _predict(model, X + 0.5, X), rtol=1e-4, atol=1e-5
    )


@keras.saving.register_keras_serializable("tests.insert")
class _Own(KL.Layer):
    """Masks and a layer inside, found by Keras through its registration."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = KL.Dense(2)
        self.supports_masking = True

    def build(self, shape):
        self.inner.build(shape)

    def call(self, x):
        return self.inner(x)


def _double(x):
    return 2 * x


@pytest.mark.tensorflow
def test_masks_words_functions_and_names():
    words = KL.StringLookup()
    words.adapt([["a", "b", "c"]])
    source = keras.Input((3,), dtype="string")
    x = KL.Embedding(5, 4, mask_zero=True, name="embedding")(words(source))
    x = _Own(name="dropout")(x)  # takes the name of the new one
    x = KL.Lambda(_double)(KL.LSTM(3)(x))
    model = keras.Model(source, x)
    keras.utils.clear_session()
    copy = insert(model, "embedding", lambda layer: KL.SpatialDropout1D(0.1))
    copy = insert(copy, "^embedding", lambda layer: KL.Dropout(0.1))
    assert "dropout_1" in [layer.name for layer in copy.layers]
    text = keras.ops.convert_to_tensor([["a", "c", ""], ["b", "", ""]])
    np.testing.assert_allclose(_predict(copy, text), _predict(model, text), rtol=1e-5)


@pytest.mark.parametrize(
    ("after", "layer_fn", "error", "message"),
    [
        ("nothing", lambda layer: KL.Dropout(0.1), ValueError, "must match"),
        ("first", lambda layer: None, ValueError, "must match"),
        ("(", lambda layer: KL.Dropout(0.1), ValueError, "valid regular expression"),
        (3, lambda layer: KL.Dropout(0.1), TypeError, "`include` must be"),
        ("first", KL.Dropout(0.1), TypeError, "`layer_fn` must be a function"),
        ("first", lambda layer: 0.1, TypeError, "must return a layer"),
        ("first", lambda layer: layer, ValueError, "another layer each time"),
        ("first", lambda layer: KL.Dense(3), ValueError, "of the same shape"),
    ],
)
def test_bad_arguments(after, layer_fn, error, message):
    model = _mlp()
    before = model.get_weights()
    with pytest.raises(error, match=message):
        insert(model, after, layer_fn)
    _same(model.get_weights(), before)
    assert [layer.name for layer in model.layers] == ["first", "norm", "head"]


def test_bad_models():
    class Subclassed(keras.Model):
        def build(self, shape):
            self.built = True

    def new(layer):
        return KL.Dropout(0.1)

    subclassed = Subclassed()
    subclassed.build((None, 4))
    for model in (subclassed, keras.Sequential([KL.Dense(1)])):
        with pytest.raises(ValueError, match="has no graph|is not built"):
            insert(model, "", new)
    model = _network()
    model.compile("adam", {"head": "mse"})
    with pytest.raises(ValueError, match="by which `loss` is assigned"):
        insert(model, "^head$", new)
    source = keras.Input((3, 2))
    state = keras.Model(source, KL.LSTM(2, return_state=True)(source))
    with pytest.raises(ValueError, match="one input and one output"):
        insert(state, "lstm", new)
