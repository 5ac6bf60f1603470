"""The mathematics of clustering against NumPy, and where centroids start."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_strategies.compression.clustering import (
    _centroid_init,
    _channel_rows,
    _kmeans_step,
)
from tests.compression.common import values


def tensor(array):
    return keras.ops.convert_to_tensor(np.asarray(array, "float32"))


@settings(max_examples=16, deadline=None)
@given(
    rows=st.sampled_from([1, 3]),
    n=st.sampled_from([1, 2, 8, 32, 33, 50]),
    seed=st.integers(0, 2**16),
)
def test_nearest_and_means(rows, n, seed):
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(rows, 40)).astype("float32")
    centroids = np.sort(rng.normal(size=(rows, n)), axis=1).astype("float32")
    distances = np.abs(weights[:, :, None] - centroids[:, None, :])
    index = values(_kmeans_step.nearest(tensor(weights), tensor(centroids)))
    chosen = np.take_along_axis(distances, index[:, :, None], axis=2)[..., 0]
    np.testing.assert_allclose(chosen, distances.min(axis=2), atol=1e-6)

    shared, moved = map(
        values, _kmeans_step.kmeans_step(tensor(weights), tensor(centroids))
    )
    for row in range(rows):
        for k in range(n):
            own = weights[row, index[row] == k]
            expected = own.mean() if own.size else centroids[row, k]
            assert moved[row, k] == pytest.approx(expected, abs=1e-5)
        np.testing.assert_array_equal(shared[row], moved[row, index[row]])
    assert (np.diff(moved, axis=1) >= 0).all()


def test_what_does_not_count_is_zero_and_moves_nothing():
    weights, counted = [[-1.0, -0.8, 0.1, 0.9]], [[True, True, False, True]]
    shared, moved = _kmeans_step.kmeans_step(
        tensor(weights), tensor([[-0.5, 0.5]]), keras.ops.convert_to_tensor(counted)
    )
    np.testing.assert_allclose(values(moved), [[-0.9, 0.9]], rtol=1e-6)
    np.testing.assert_allclose(values(shared), [[-0.9, -0.9, 0, 0.9]], rtol=1e-6)


@pytest.mark.parametrize("axis", [None, 0, 1, 2])
def test_rows_and_back(axis):
    weights = np.arange(24.0).reshape(2, 3, 4)
    rows = values(_channel_rows.to_rows(tensor(weights), axis))
    if axis is not None:
        np.testing.assert_array_equal(rows[1], np.take(weights, 1, axis).ravel())
    back = _channel_rows.from_rows(tensor(rows), weights.shape, axis)
    np.testing.assert_array_equal(values(back), weights)


@pytest.mark.parametrize("init", _centroid_init.NAMES)
def test_starts_are_sorted_inside_the_weights_and_repeatable(init):
    weights = np.random.default_rng(0).normal(size=(50, 40))
    first = _centroid_init.initial_centroids(weights, 16, init)
    assert first.shape == (16,) and (np.diff(first) >= 0).all()
    assert weights.min() <= first.min() and first.max() <= weights.max()
    np.testing.assert_array_equal(
        first, _centroid_init.initial_centroids(weights, 16, init)
    )


def test_kmeans_finds_what_is_there_and_beats_the_other_starts():
    rng = np.random.default_rng(0)
    middles = np.array([-3.0, -1.0, 0.5, 4.0])
    weights = (middles[:, None] + 0.05 * rng.normal(size=(4, 300))).ravel()
    got = _centroid_init.initial_centroids(weights, 4, "kmeans++")
    np.testing.assert_allclose(got, middles, atol=0.02)
    weights = rng.normal(size=5000)
    errors = {}
    for init in _centroid_init.NAMES:
        centroids = _centroid_init.initial_centroids(weights, 16, init)
        gaps = np.abs(weights[:, None] - centroids)
        errors[init] = np.square(gaps.min(axis=1)).mean()
    assert min(errors, key=errors.get) == "kmeans++"


@pytest.mark.parametrize("init", _centroid_init.NAMES)
def test_few_values_are_their_own_centroids(init):
    weights = np.repeat([[0.5, -1.0, 2.0]], 20, axis=0)
    got = _centroid_init.initial_centroids(weights, 5, init)
    assert got.tolist() == [-1.0, 0.5, 2.0, 2.0, 2.0]


def test_signs_share_the_centroids_by_their_number():
    weights = np.concatenate([-np.linspace(1, 2, 30), np.linspace(1, 2, 10), [0.0]])
    got = _centroid_init.initial_centroids_by_sign(weights, 8, "linear")
    assert (got < 0).sum() == 6 and (got > 0).sum() == 2
    assert (
        _centroid_init.initial_centroids_by_sign(np.zeros(9), 3, "linear") == 0
    ).all()
    assert (
        _centroid_init.initial_centroids_by_sign(np.arange(9.0), 3, "linear").min() == 1
    )
