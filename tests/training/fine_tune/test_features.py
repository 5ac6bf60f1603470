"""Cached features: where the cut is, and that the head is the same to the bit."""

import keras
import numpy as np
import pytest

from keras_strategies import training
from keras_strategies._internal import freezing
from keras_strategies._internal.select import layer_targets
from keras_strategies.training._fine_tune import features
from tests.training.fine_tune.models import X, Y, backbone, values

L = keras.layers


def frozen(model, name="body"):
    body = model.get_layer(name)
    freezing.freeze_layers(model, [body, *(t.item for t in layer_targets(body))])
    return model


@pytest.mark.parametrize("dropout", [pytest.param(0.0, marks=pytest.mark.slow), 0.4])
def test_the_head_is_the_same_as_without_the_cache(dropout):
    results, heads = [], []
    for cache in (True, False):
        keras.utils.set_random_seed(5)
        model = training.attach_head(backbone(), classes=3, dropout=dropout)
        result = training.fine_tune(
            model,
            (X, Y),
            validation_data=(X[:16], Y[:16]),
            epochs=(3, 0),
            cache_features=cache,
            batch_size=16,
            seed=7,
            verbose=0,
        )
        assert result.rows[0]["cached"] is cache
        results.append(result)
        heads.append(values(model.get_layer("head_output").weights))
    # The features come from a function of their own, which may round otherwise.
    for one, other in zip(*heads, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    for name in ("loss", "val_loss"):
        np.testing.assert_allclose(
            results[0].history[name], results[1].history[name], rtol=1e-5
        )


def test_the_cut_is_behind_the_pooling_and_leaves_the_layers_alone():
    model = frozen(training.attach_head(backbone(), classes=3))
    split = features.Split(model)
    assert split.problem is None
    assert [operation.name for operation, *_ in split.rest] == [
        "head_dropout",
        "head_output",
    ]
    assert split.bytes_for(10) == 10 * 6 * 4
    found = split.features(X, 16)
    np.testing.assert_allclose(
        values([split.head()(found)])[0], values([model(X)])[0], rtol=1e-5, atol=1e-6
    )
    # `output` of a layer that was called twice would raise an error.
    assert model.get_layer("head_output").output.shape == (None, 3)


def test_branches_behind_the_backbone():
    body = backbone()
    inputs = keras.Input((8, 8, 1))
    found = body(inputs)
    one = L.Dense(3, name="one")(L.GlobalAveragePooling2D()(found))
    raw = L.Dense(3, name="raw")(L.Flatten()(inputs))
    model = frozen(keras.Model(inputs, {"sum": L.Add(name="sum")([one, raw])}))
    split = features.Split(model)
    assert len(split.boundary) == 2
    head = split.head()
    outputs = head(split.features(X, 16))
    assert list(outputs) == ["sum"]
    np.testing.assert_allclose(
        values([outputs["sum"]])[0], values([model(X)["sum"]])[0], rtol=1e-5, atol=1e-5
    )


def test_what_differs_in_each_epoch_is_not_cached():
    inputs = keras.Input((8, 8, 1))
    body = backbone()
    x = body(L.RandomFlip(seed=1)(inputs))
    model = keras.Model(inputs, L.Dense(3, "softmax")(L.Flatten()(x)))
    arguments = {"epochs": (2, 0), "verbose": 0, "seed": 0}
    result = training.fine_tune(model, (X, Y), **arguments)
    assert not result.rows[0]["cached"]
    assert "random_flip" in result.notes[0]
    with pytest.raises(ValueError, match="random_flip"):
        training.fine_tune(model, (X, Y), cache_features=True, **arguments)


def test_masks_regularizers_and_half_precision_are_not_cached():
    ids = keras.Input((4,), dtype="int32")
    body = keras.Sequential(
        [keras.Input((4,), dtype="int32"), L.Embedding(5, 3, mask_zero=True)],
        name="body",
    )
    pooled = L.LSTM(3)(body(ids))
    model = frozen(keras.Model(ids, L.Dense(3, "softmax")(pooled)))
    assert "mask" in features.Split(model).problem
    body = keras.Sequential(
        [keras.Input((4,)), L.Dense(3, kernel_regularizer="l2")], name="body"
    )
    model = frozen(training.attach_head(body, classes=3))
    assert "loss" in features.Split(model).problem
    keras.config.set_dtype_policy("mixed_bfloat16")
    body = keras.Sequential([keras.Input((4,)), L.Dense(3)], name="body")
    model = frozen(training.attach_head(body, classes=3))
    assert "precision" in features.Split(model).problem


def test_features_of_unknown_size_are_cached_when_asked_for():
    body = keras.Sequential([keras.Input((None, 3)), L.Dense(4)], name="body")
    inputs = keras.Input((None, 3))
    x = L.LSTM(2)(body(inputs))
    model = keras.Model(inputs, L.Dense(2, "softmax")(x))
    data = np.ones((8, 5, 3), "float32"), np.arange(8) % 2
    result = training.fine_tune(model, data, epochs=(2, 0), verbose=0)
    assert "not known" in result.notes[0]
    result = training.fine_tune(
        model, data, epochs=(2, 0), cache_features=True, verbose=0
    )
    assert result.rows[0]["cached"]


def test_several_outputs_with_losses_by_name():
    inputs = keras.Input((8, 8, 1))
    x = L.GlobalAveragePooling2D()(backbone()(inputs))
    outputs = [L.Dense(3, "softmax", name="kind")(x), L.Dense(1, name="size")(x)]
    model = keras.Model(inputs, outputs)
    model.compile(
        "adam",
        {"kind": "sparse_categorical_crossentropy", "size": "mse"},
        metrics={"kind": ["accuracy"]},
    )
    y = {"kind": Y, "size": Y.astype("float32")[:, None]}
    result = training.fine_tune(model, (X, y), epochs=(2, 0), verbose=0)
    assert result.rows[0]["cached"]
    assert "kind_accuracy" in result.history
