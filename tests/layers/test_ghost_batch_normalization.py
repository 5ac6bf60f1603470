"""Ghost batches against batch normalization of each part."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_strategies.layers import GhostBatchNormalization
from keras_strategies.layers.ghost_batch_normalization import ghost_batches

X = np.random.default_rng(0).normal(2, 3, size=(11, 5, 4)).astype("float32")


def _numpy(x):
    return ops.convert_to_numpy(x)


@pytest.mark.parametrize(
    ("batch", "virtual", "sizes"),
    [(8, 4, [4, 4]), (11, 4, [6, 5]), (3, 4, [3]), (7, 3, [4, 3]), (2, 1, [1, 1])],
)
def test_parts_are_even_and_not_smaller_than_asked(batch, virtual, sizes):
    same = _numpy(ghost_batches(batch, virtual))
    group = np.repeat(np.arange(len(sizes)), sizes)
    np.testing.assert_array_equal(same, group[:, None] == group)


@pytest.mark.parametrize("axis", [-1, 1])
def test_each_part_is_normalized_by_itself(axis):
    layer = GhostBatchNormalization(4, axis=axis, momentum=0.9)
    out = _numpy(layer(X, training=True))
    means, variances, parts = [], [], (X[:6], X[6:])
    others = (0, 1) if axis == -1 else (0, 2)
    shape = (-1,) if axis == -1 else (-1, 1)
    for part in parts:
        means.append(part.mean(others))
        variances.append(part.var(others))
    expected = np.concatenate(
        [
            (part - m.reshape(shape)) / np.sqrt(v.reshape(shape) + 1e-3)
            for part, m, v in zip(parts, means, variances, strict=True)
        ]
    )
    np.testing.assert_allclose(out, expected, atol=1e-4)
    mean = np.average(means, 0, weights=[6, 5])
    variance = np.average(variances, 0, weights=[6, 5])
    np.testing.assert_allclose(_numpy(layer.moving_mean), 0.1 * mean, rtol=1e-4)
    np.testing.assert_allclose(
        _numpy(layer.moving_variance), 0.9 + 0.1 * variance, rtol=1e-4
    )


@pytest.mark.parametrize("training", [False, True])
def test_one_part_is_batch_normalization(training):
    ours = GhostBatchNormalization(64, gamma_initializer="random_normal")
    theirs = keras.layers.BatchNormalization()
    ours.build(X.shape)
    theirs.build(X.shape)
    weights = [np.abs(w) + 0.5 for w in ours.get_weights()]
    ours.set_weights(weights)
    theirs.set_weights(weights)
    mask = np.arange(5) < np.arange(11)[:, None] % 6
    for arguments in ({}, {"mask": ops.array(mask)}):
        np.testing.assert_allclose(
            _numpy(ours(X, training=training, **arguments)),
            _numpy(theirs(X, training=training, **arguments)),
            atol=1e-4,
        )
        for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4)


def test_frozen_it_uses_its_averages():
    layer = GhostBatchNormalization(4)
    layer.trainable = False
    np.testing.assert_allclose(
        _numpy(layer(X, training=True)), X / np.sqrt(1 + 1e-3), rtol=1e-5
    )


def test_batches_of_any_size_in_fit():
    model = keras.Sequential([keras.Input((5, 4)), GhostBatchNormalization(4)])
    model.compile("sgd", "mse")
    history = model.fit(X, X, batch_size=8, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()


@pytest.mark.parametrize("name", ["synchronized", "renorm"])
def test_what_contradicts_is_refused(name):
    with pytest.raises(ValueError, match=f"`{name}` contradicts"):
        GhostBatchNormalization(8, **{name: True})
