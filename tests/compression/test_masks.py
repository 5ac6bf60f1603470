"""The mask against the published rule, written once more in NumPy."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from keras_strategies.compression.pruning import _masks
from tests.compression.common import magnitude_mask

# Few shapes: JAX compiles every operation anew for each.
shapes = st.sampled_from([(1,), (6,), (5, 7), (2, 3, 4), (3, 3, 2, 5)])
sparsities = st.floats(0, 0.999)


def reference(weights, sparsity):
    """Sort descending, take the k-th magnitude, keep what reaches it."""
    magnitudes = np.abs(weights)
    share = np.float32(1) - np.float32(sparsity)
    k = int(max(np.round(np.float32(weights.size) * share), 1))
    threshold = np.sort(magnitudes.reshape(-1))[::-1][k - 1]
    return magnitudes >= threshold, k


def mask_of(weights, sparsity):
    tensor = keras.ops.convert_to_tensor(weights)
    return keras.ops.convert_to_numpy(magnitude_mask(tensor, sparsity))


@settings(max_examples=60, deadline=None)
@given(shape=shapes, sparsity=sparsities, seed=st.integers(0, 2**16))
def test_mask_is_that_of_the_rule(shape, sparsity, seed):
    weights = np.random.default_rng(seed).normal(size=shape).astype("float32")
    expected, k = reference(weights, sparsity)
    got = mask_of(weights, sparsity)
    np.testing.assert_array_equal(got, expected)
    assert got.sum() == k  # no ties in continuous random numbers


@settings(max_examples=40, deadline=None)
@given(
    weights=hnp.arrays("float32", shapes, elements=st.sampled_from([-2, -1, 0, 1, 2])),
    sparsity=sparsities,
)
def test_ties_are_kept(weights, sparsity):
    expected, k = reference(weights, sparsity)
    got = mask_of(weights, sparsity)
    np.testing.assert_array_equal(got, expected)
    assert got.sum() >= k


def test_no_sparsity_keeps_all_and_extreme_sparsity_keeps_one():
    weights = np.random.default_rng(0).normal(size=(7, 5)).astype("float32")
    assert mask_of(weights, 0.0).all()
    mask = mask_of(weights, 0.9999)
    assert mask.sum() == 1
    assert np.abs(weights)[mask] == np.abs(weights).max()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_half_precision_weights(dtype):
    values = np.random.default_rng(1).permutation(64).reshape(8, 8).astype("float32")
    tensor = keras.ops.cast(values - 100.0, dtype)
    mask = keras.ops.convert_to_numpy(magnitude_mask(tensor, 0.75))
    np.testing.assert_array_equal(mask, values < 16)
    masked = _masks.apply_mask(tensor, keras.ops.convert_to_tensor(mask))
    assert keras.backend.standardize_dtype(masked.dtype) == dtype


def test_pruned_values_are_positive_zeros():
    weights = np.array([-1.0, -2.0, 3.0], dtype="float32")
    mask = keras.ops.convert_to_tensor([False, True, False])
    got = keras.ops.convert_to_numpy(_masks.apply_mask(weights, mask))
    np.testing.assert_array_equal(got, np.array([0.0, -2.0, 0.0], "float32"))
    assert not np.signbit(got[0])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_diverged_weights_stay_visible(bad):
    weights = np.array([0.1, bad, 0.3, -0.2], "float32")
    assert mask_of(weights, 0.5).all()


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e30])
def test_threshold_is_exact_at_any_scale(scale):
    rng = np.random.default_rng(4)
    magnitudes = (np.exp(3 * rng.normal(size=201)) * scale).astype("float32")
    for k in (1, 2, 100, 200, 201):
        got = float(_masks.kth_largest([keras.ops.convert_to_tensor(magnitudes)], k))
        assert got == np.sort(magnitudes)[-k]


@pytest.mark.tensorflow
def test_compiled_mask_equals_the_eager_one():
    import tensorflow as tf

    weights = np.random.default_rng(3).normal(size=(31, 17)).astype("float32")
    compiled = tf.function(magnitude_mask, jit_compile=True)
    for sparsity in (0.0, 0.31, 0.8, 0.99):
        got = compiled(tf.constant(weights), tf.constant(sparsity))
        np.testing.assert_array_equal(got, mask_of(weights, sparsity))
