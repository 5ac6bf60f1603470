"""Activations with weights against their formulas."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_strategies.layers import AconC, LayerScale, LearnableSwish, Maxout, Snake
from keras_strategies.layers import snake as snake_function

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 4, 6)).astype("float32") * 2


def _numpy(x):
    return ops.convert_to_numpy(x)


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


FORMULAS = {
    "Snake": (Snake, lambda x, a: x + np.sin(a * x) ** 2 / a),
    "LearnableSwish": (LearnableSwish, lambda x, b: x * _sigmoid(b * x)),
    "LayerScale": (LayerScale, lambda x, g: g * x),
    "AconC": (
        AconC,
        lambda x, p, q, b: (p - q) * x * _sigmoid(b * (p - q) * x) + q * x,
    ),
}


@pytest.mark.parametrize("axis", [-1, 1])
@pytest.mark.parametrize("name", FORMULAS)
def test_formula_with_a_weight_for_each_channel(name, axis):
    cls, formula = FORMULAS[name]
    layer = cls(axis=axis)
    layer.build(X.shape)
    weights = [RNG.uniform(0.3, 2, X.shape[axis]).astype("float32") for _ in range(3)]
    weights = weights[: len(layer.weights)]
    layer.set_weights(weights)
    shape = (-1, 1) if axis == 1 else (-1,)
    expected = formula(X, *(w.reshape(shape) for w in weights))
    np.testing.assert_allclose(_numpy(layer(X)), expected, rtol=2e-5, atol=1e-6)


def test_starts_are_those_of_the_docs():
    np.testing.assert_allclose(_numpy(AconC()(X)), X * _sigmoid(X), rtol=1e-5)
    np.testing.assert_allclose(_numpy(LearnableSwish()(X)), X * _sigmoid(X), rtol=1e-5)
    np.testing.assert_allclose(_numpy(LayerScale()(X)), X * 1e-5, rtol=1e-6)
    np.testing.assert_allclose(_numpy(Snake()(X)), X + np.sin(X) ** 2, rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_snake_at_frequency_zero_is_the_identity(dtype):
    x = X.astype(dtype)
    np.testing.assert_array_equal(_numpy(snake_function(x, 0.0)), x)
    np.testing.assert_allclose(
        _numpy(snake_function(x, -2.0)).astype("float32"),
        x - np.sin(2 * x.astype("float32")) ** 2 / 2,
        atol=1e-5 if dtype == "float32" else 1e-2,
    )


def test_snake_by_name_in_a_saved_model(tmp_path):
    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(3, activation=snake_function)]
    )
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.layers[0].activation is snake_function
    kernel = _numpy(model.layers[0].kernel)
    expected = X[:, 0] @ kernel
    expected = expected + np.sin(expected) ** 2
    np.testing.assert_allclose(_numpy(again(X[:, 0])), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("axis", [-1, 1])
def test_maxout_takes_the_largest_of_channels_that_lie_apart(axis):
    out = _numpy(Maxout(2, axis=axis)(X))
    if axis == -1:
        expected = np.stack([X[..., ::2].max(-1), X[..., 1::2].max(-1)], -1)
    else:
        expected = np.stack([X[:, ::2].max(1), X[:, 1::2].max(1)], 1)
    np.testing.assert_array_equal(out, expected)


def test_maxout_has_the_groups_of_tensorflow_addons():
    # tfa.layers.Maxout(3) of 1 ... 6: groups 1 and 4, 2 and 5, 3 and 6.
    out = _numpy(Maxout(3)(np.arange(1.0, 7.0, dtype="float32")[None]))
    np.testing.assert_array_equal(out, [[4, 5, 6]])


def test_maxout_refuses_channels_that_do_not_divide():
    with pytest.raises(ValueError, match="multiple of `num_units`"):
        Maxout(4)(X)
    with pytest.raises(ValueError, match="must be known"):
        Maxout(4)(keras.Input((3, None)))
    assert Maxout(2)(keras.Input((None, 6))).shape == (None, None, 2)


@pytest.mark.parametrize("axis", [0, 3, -3])
def test_axes_that_are_none_are_refused(axis):
    with pytest.raises(ValueError, match="`axis` must be an axis of the input"):
        Snake(axis=axis)(X)
