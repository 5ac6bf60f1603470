"""Layers of a model replaced, removed and renamed."""

import keras
import numpy as np
import pytest

from keras_strategies import surgery

KL = keras.layers
X = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")


def _mlp():
    return keras.Sequential(
        [
            keras.Input((4,)),
            KL.Dense(4, activation="relu", name="first"),
            KL.Dropout(0.5, name="drop"),
            KL.Dense(4, name="second"),
            KL.Dense(2, name="head"),
        ]
    )


def _nested():
    inputs = keras.Input((4,), name="x")
    inner = keras.Sequential(
        [keras.Input((4,)), KL.Dense(4, name="deep"), KL.Dense(4, name="deeper")],
        name="inner",
    )
    return keras.Model(inputs, KL.Dense(2, name="head")(inner(inputs)), name="outer")


def _outputs(model):
    return keras.ops.convert_to_numpy(model(X))


def test_a_new_head_keeps_the_body_and_takes_the_name():
    model = _mlp()
    copy = surgery.replace(model, "^head$", KL.Dense(5))
    assert copy.get_layer("head").units == 5 and _outputs(copy).shape == (16, 5)
    for name in ("first", "second"):
        for one, other in zip(
            model.get_layer(name).get_weights(),
            copy.get_layer(name).get_weights(),
            strict=True,
        ):
            np.testing.assert_array_equal(one, other)
    assert [layer.name for layer in model.layers] == ["first", "drop", "second", "head"]


def test_weights_that_fit_are_taken_over_unless_they_must_not():
    model = _nested()

    def with_gelu(layer):
        return KL.Dense(4, activation="gelu", name=f"{layer.name}_gelu")

    copy = surgery.replace(model, "inner/", with_gelu)
    inner = copy.get_layer("inner")
    assert [layer.name for layer in inner.layers] == ["deep_gelu", "deeper_gelu"]
    kernel = model.get_layer("inner").get_layer("deep").kernel
    np.testing.assert_array_equal(inner.get_layer("deep_gelu").kernel, kernel)
    fresh = surgery.replace(model, "inner/deep$", KL.Dense(4), keep_weights=False)
    assert not np.allclose(fresh.get_layer("inner").get_layer("deep").kernel, kernel)


def test_a_nested_model_is_replaced_as_a_whole():
    model = _nested()
    copy = surgery.replace(model, "^inner$", KL.Dense(4, name="one"))
    assert [layer.name for layer in copy.layers] == ["x", "one", "head"]


def test_a_built_layer_keeps_its_own_weights():
    new = KL.Dense(2, name="trained")
    new.build((None, 4))
    kernel = new.get_weights()[0]
    copy = surgery.replace(_mlp(), "^head$", new, keep_weights=False)
    np.testing.assert_array_equal(copy.get_layer("trained").get_weights()[0], kernel)


def test_removing_keeps_weights_and_the_optimizer():
    model = _mlp()
    model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"])
    model.fit(X, X[:, :2], batch_size=8, verbose=0)
    copy = surgery.remove(model, "drop")
    np.testing.assert_allclose(_outputs(copy), _outputs(model), rtol=1e-6)
    assert int(copy.optimizer.iterations) == 2
    shorter = surgery.remove(model, ["second", "drop"])
    assert [layer.name for layer in shorter.layers] == ["first", "head"]
    assert int(shorter.optimizer.iterations) == 0


def test_names_follow_into_paths_of_weights():
    model = _nested()
    copy = surgery.rename(model, {"^inner$": "body", "deep$": "low"}, name="net")
    assert copy.name == "net" and [w.path for w in copy.weights][0] == "body/low/kernel"
    np.testing.assert_array_equal(_outputs(copy), _outputs(model))
    both = keras.Model(
        inputs := keras.Input((4,)),
        KL.Add()([surgery.rename(model, {}, name=n)(inputs) for n in ("one", "two")]),
    )
    np.testing.assert_allclose(_outputs(both), 2 * _outputs(model), rtol=1e-6)


def test_outputs_get_names_for_losses():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, [KL.Dense(1)(inputs), KL.Dense(1)(inputs)])
    names = [layer.name for layer in model.layers[1:]]
    copy = surgery.rename(model, {f"^{n}$": f"out_{i}" for i, n in enumerate(names)})
    assert copy.output_names == ["out_0", "out_1"]
    copy.compile("sgd", {"out_0": "mse", "out_1": "mae"})
    with pytest.raises(ValueError, match="by which `loss` is assigned"):
        surgery.rename(copy, {"out_0": "other"})


def _sum():
    inputs = keras.Input((4,))
    x = KL.Add(name="add")([KL.Dense(4, name="left")(inputs), inputs])
    return keras.Model(inputs, KL.Dense(2, name="head")(x))


@pytest.mark.parametrize(
    ("function", "arguments", "error", "message"),
    [
        (surgery.remove, ("none",), ValueError, "`include` must match.*first"),
        (surgery.replace, ("head", 3), TypeError, "`new_layer` must be a layer or"),
        (surgery.replace, ("e", KL.Dense(3)), ValueError, "must be a function where"),
        (surgery.replace, ("head", lambda x: 3), TypeError, "must return a layer"),
        (surgery.replace, ("head", lambda x: x), ValueError, "another layer each"),
        (surgery.replace, ("head", lambda x: None), ValueError, "for at least one"),
        (surgery.replace, ("second", KL.Dense(9)), ValueError, "follow must fit"),
        (surgery.rename, ({"(": "a"},), ValueError, "valid regular expression"),
        (surgery.rename, ({"": "a"},), ValueError, "must select one layer"),
        (surgery.rename, ({"head": "a/b"},), ValueError, "without '/'"),
        (surgery.rename, ({"head": "first"},), ValueError, "different within one"),
        (surgery.rename, (3,), TypeError, "`names` must be a dict"),
    ],
)
def test_bad_arguments(function, arguments, error, message):
    model = _mlp()
    before = model.get_weights()
    with pytest.raises(error, match=message):
        function(model, *arguments)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_sum_cannot_be_removed():
    with pytest.raises(ValueError, match="must have one input"):
        surgery.remove(_sum(), "add")
