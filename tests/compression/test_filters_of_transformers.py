"""`prune_filters` on attention heads and on reductions of `keras.ops`."""

import keras
import numpy as np
import pytest

from keras_strategies import compression

L, ops = keras.layers, keras.ops
RNG = np.random.default_rng(0)


def _transformer(**arguments):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((5, 16))
    x = L.LayerNormalization()(inputs)
    attention = L.MultiHeadAttention(4, 6, name="attention", **arguments)
    x = inputs + attention(x, x)
    y = L.Dense(32, activation="relu", name="hidden")(x)
    y = L.Dense(16, name="back")(y)
    return keras.Model(inputs, L.Dense(3, name="head")(ops.mean(x + y, axis=1)))


def _silence(layer, heads):
    """Makes heads contribute nothing to the output."""
    kernel = np.array(ops.convert_to_numpy(layer.output_dense.kernel))
    kernel[heads] = 0.0
    layer.output_dense.kernel.assign(kernel)


NOT_JAX = pytest.mark.skipif(
    keras.backend.backend() == "jax",
    reason="Keras's attention on JAX takes no values of another width than the keys",
)


@pytest.mark.parametrize(
    "arguments",
    [{}, {"use_bias": False}, pytest.param({"value_dim": 5}, marks=NOT_JAX)],
)
def test_heads_are_removed_whole(arguments):
    model = _transformer(**arguments)
    attention = model.get_layer("attention")
    _silence(attention, [0, 2])
    pruned = compression.prune_filters(model, 0.5, include="attention")
    left = pruned.get_layer("attention")
    assert left.num_heads == 2 and left.query_dense.kernel.shape == (16, 2, 6)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(left.query_dense.kernel),
        ops.convert_to_numpy(attention.query_dense.kernel)[:, [1, 3]],
    )
    x = RNG.normal(size=(3, 5, 16)).astype("float32")
    np.testing.assert_allclose(
        pruned.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-4, atol=1e-5
    )
    report = compression.filter_report(model, pruned)
    row = next(r for r in report.rows if r["layer"] == "attention")
    assert row["units"] == (4, 2) and row["kept"] is None
    # 5 tokens: four projections, and queries with keys and values. Half of it is left.
    width = arguments.get("value_dim", 6)
    projections = 5 * 16 * 4 * (2 * 6 + 2 * width)
    assert row["macs"][0] == projections + 25 * 4 * (6 + width) == 2 * row["macs"][1]


def test_all_of_a_transformer_block():
    model = _transformer()
    pruned = compression.prune_filters(model, 0.5)
    assert pruned.get_layer("attention").num_heads == 2
    assert pruned.get_layer("hidden").units == 16
    # The width of the residual stream is that of the input.
    assert pruned.get_layer("back").units == 16
    pruned.compile("adam", "mse")
    pruned.fit(RNG.normal(size=(8, 5, 16)), RNG.normal(size=(8, 3)), verbose=0)


def test_attention_that_cannot_be_followed_says_so():
    inputs = keras.Input((5, 16))
    x = L.Dense(16, name="first")(inputs)
    x, scores = L.MultiHeadAttention(4, 6, name="attention")(
        x, x, return_attention_scores=True
    )
    model = keras.Model(inputs, [x, scores])
    reasons = compression.filter_report(model, model).kept
    assert "attention (MultiHeadAttention) is not followed" in reasons["first"]


@pytest.mark.parametrize(
    "pool",
    [
        lambda x: ops.mean(x, axis=(1, 2)),
        lambda x: ops.max(ops.mean(x, axis=1, keepdims=True), axis=(1, 2)),
        lambda x: ops.sum(x, axis=[-3, -2]),
    ],
)
def test_pooling_by_operations(pool):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 6, 2))
    x = L.Conv2D(16, 3, activation="relu", name="conv")(inputs)
    model = keras.Model(inputs, L.Dense(3)(pool(x)))
    kernel, bias = model.get_layer("conv").get_weights()
    kernel[..., :8], bias[:8] = 0, 0
    model.get_layer("conv").set_weights([kernel, bias])
    pruned = compression.prune_filters(model, 0.5)
    assert pruned.get_layer("conv").filters == 8
    x = RNG.normal(size=(3, 6, 6, 2)).astype("float32")
    np.testing.assert_allclose(
        pruned.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-4, atol=1e-5
    )


def test_a_model_that_hardly_shrinks_says_what_stops_it():
    inputs = keras.Input((6, 6, 2))
    x = L.Conv2D(64, 3, name="conv")(inputs)
    x = ops.reshape(x, (-1, 4, 4, 8, 8))  # the channels in two axes
    x = L.Flatten()(x)
    small = L.Dense(16, activation="relu", name="small")(L.Flatten()(inputs))
    model = keras.Model(inputs, L.Dense(2, name="head")(x) + L.Dense(2)(small))
    with pytest.warns(UserWarning, match=r"kept whole: conv: .*Reshape.* not followed"):
        compression.prune_filters(
            model, 0.5, exclude="head", per_layer={"small": 0.1}, round_to=1
        )
