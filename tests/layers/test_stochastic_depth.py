"""StochasticDepth against its formula, in every place a layer is used."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_strategies.layers import StochasticDepth
from keras_strategies.layers.stochastic_depth import drop_samples


def _numpy(x):
    return ops.convert_to_numpy(x)


@settings(max_examples=12, deadline=None)
@given(
    rate=st.floats(0, 0.95),
    shape=st.sampled_from([(), (3,), (2, 3, 1)]),
    keep=st.lists(st.booleans(), min_size=4, max_size=4),
)
def test_pure_function_is_the_formula(rate, shape, keep):
    x = np.random.default_rng(0).normal(size=(len(keep), *shape)).astype("float32")
    got = drop_samples(ops.array(x), ops.array(np.array(keep)), rate)
    factors = np.array(keep, "float32").reshape(-1, *[1] * len(shape)) / (1 - rate)
    np.testing.assert_allclose(_numpy(got), x * factors, rtol=1e-5)


def test_whole_samples_are_dropped_or_scaled():
    x = np.random.default_rng(0).uniform(1, 2, (200, 3, 2)).astype("float32")
    out = _numpy(StochasticDepth(0.25, seed=3)(x, training=True))
    kept = out.reshape(200, -1).any(axis=1)
    np.testing.assert_array_equal(out[~kept], 0)
    np.testing.assert_allclose(out[kept], x[kept] / 0.75, rtol=1e-6)
    assert 0 < kept.sum() < 200


def test_survival_rate_and_mean_are_right():
    layer = StochasticDepth(0.3, seed=0)
    out = _numpy(layer(np.ones((20_000, 1), "float32"), training=True))
    # Standard error of the dropped part: sqrt(.3 * .7 / 20000) = 0.0032.
    assert (out == 0).mean() == pytest.approx(0.3, abs=0.015)
    assert out.mean() == pytest.approx(1.0, abs=0.025)


def test_a_list_adds_the_shortcut():
    shortcut = np.full((64, 2), 10.0, "float32")
    residual = np.ones((64, 2), "float32")
    layer = StochasticDepth(0.5, seed=1)
    np.testing.assert_array_equal(_numpy(layer([shortcut, residual])), 11.0)
    trained = _numpy(layer([shortcut, residual], training=True))
    assert set(np.unique(trained)) == {10.0, 12.0}


def test_identity_at_inference_and_at_rate_zero():
    x = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    np.testing.assert_array_equal(_numpy(StochasticDepth(0.9)(x, training=False)), x)
    np.testing.assert_array_equal(_numpy(StochasticDepth(0.0)(x, training=True)), x)


def test_each_call_draws_anew_and_the_seed_repeats():
    x = np.ones((64, 1), "float32")
    first, second = StochasticDepth(0.5, seed=5), StochasticDepth(0.5, seed=5)
    a, b = _numpy(first(x, training=True)), _numpy(first(x, training=True))
    assert (a != b).any()
    np.testing.assert_array_equal(_numpy(second(x, training=True)), a)


def test_a_dropped_branch_that_overflowed_leaves_no_nan():
    x = ops.array(np.array([[np.inf], [1.0]], "float32"))
    out = _numpy(drop_samples(x, ops.array(np.array([False, True])), 0.5))
    np.testing.assert_array_equal(out, [[0.0], [2.0]])


def test_half_precision_and_small_rates():
    layer = StochasticDepth(1e-4, dtype="mixed_float16", seed=0)
    out = layer(np.ones((50_000, 1), "float32"), training=True)
    assert keras.backend.standardize_dtype(out.dtype) == "float16"
    # Five are expected; a draw in float16 could not resolve the rate.
    assert 0 < (_numpy(out) == 0).sum() < 20


def test_mask_passes_and_is_merged_as_add_does():
    x = np.array([[1, 2, 0], [3, 0, 0]])
    y = np.array([[1, 0, 0], [3, 1, 0]])
    embed = keras.layers.Embedding(5, 4, mask_zero=True)
    ours = StochasticDepth(0.5)(embed(x))
    np.testing.assert_array_equal(_numpy(ours._keras_mask), x != 0)
    both = [embed(x), embed(y)]
    ours, add = StochasticDepth(0.5)(both), keras.layers.Add()(both)
    np.testing.assert_array_equal(_numpy(ours._keras_mask), _numpy(add._keras_mask))


def _residual_model(rate):
    inputs = keras.Input((6,))
    x = keras.layers.Dense(6, activation="relu")(inputs)
    x = StochasticDepth(rate, seed=2)([inputs, x])
    return keras.Model(inputs, keras.layers.Dense(1)(x))


@pytest.mark.parametrize("jit", [False, True])
def test_trains_and_reloads(jit, tmp_path):
    if jit and keras.backend.backend() == "torch":
        pytest.skip("XLA is not an option of Torch")
    x = np.random.default_rng(0).normal(size=(50, 6)).astype("float32")
    y = x.sum(axis=1, keepdims=True)
    model = _residual_model(0.2)
    model.compile(keras.optimizers.Adam(0.01), "mse", jit_compile=jit)
    history = model.fit(x, y, batch_size=16, epochs=8, verbose=0).history["loss"]
    assert history[-1] < history[0]
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        again.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-5
    )


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_rate_outside_is_refused(rate):
    with pytest.raises(ValueError, match=r"`rate` must be in \[0, 1\)"):
        StochasticDepth(rate)


@pytest.mark.parametrize("shapes", [[(2, 3)], [(2, 3), (2, 4)], [(2, 3), (2, 3, 1)]])
def test_lists_that_are_no_pair_are_refused(shapes):
    with pytest.raises(ValueError, match="shortcut, residual"):
        StochasticDepth(0.5)([np.ones(shape, "float32") for shape in shapes])


def test_three_inputs_are_refused():
    with pytest.raises(ValueError, match="shortcut, residual"):
        StochasticDepth(0.5)([keras.Input((2,))] * 3)


@pytest.mark.tensorflow
def test_exports_to_the_builtin_ops_of_tflite(tmp_path):
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    model = _residual_model(0.5)
    x = np.random.default_rng(0).normal(size=(1, 6)).astype("float32")
    model.export(tmp_path / "saved", format="tf_saved_model", verbose=False)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "saved"))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    interpreter = Interpreter(model_content=converter.convert())
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    got = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(got, _numpy(model(x)), rtol=1e-4, atol=1e-5)
