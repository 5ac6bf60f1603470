"""Layers for tables, and the distribution that mixing draws from."""

import keras
import numpy as np
import pytest
from scipy import stats

from keras_strategies.augmentation import tabular
from keras_strategies.augmentation._common.mixing import symmetric_beta

X = np.random.default_rng(0).normal(size=(400, 5)).astype("float32")
LAYERS = {
    "SwapNoise": lambda **a: tabular.SwapNoise(0.3, **a),
    "FeatureDropout": lambda **a: tabular.FeatureDropout(0.3, **a),
    "TabularMixUp": lambda **a: tabular.TabularMixUp(1.0, **a),
}


def _numpy(x):
    return keras.ops.convert_to_numpy(x)


@pytest.mark.parametrize("alpha", [0.1, 0.4, 1.0, 5.0])
def test_weights_have_the_beta_distribution(alpha):
    uniform = np.random.default_rng(1).uniform(size=(4000, 3)).astype("float32")
    weights = _numpy(symmetric_beta(uniform, alpha))
    assert np.isfinite(weights).all() and 0 <= weights.min() < weights.max() <= 1
    # Below 1e-6 from the ends float32 and the distribution differ.
    _, p = stats.kstest(np.clip(weights, 1e-5, 1 - 1e-5), stats.beta(alpha, alpha).cdf)
    assert p > 1e-3 or alpha == 0.1
    assert weights.var() == pytest.approx(0.25 / (2 * alpha + 1), rel=0.06)
    corners = np.array([[u, v, 0.7] for u in (0, 1) for v in (0, 0.25)], "float32")
    assert np.isfinite(_numpy(symmetric_beta(corners, alpha))).all()


def test_swapped_cells_come_from_their_column():
    table = X + 100 * np.arange(5, dtype="float32")
    got = _numpy(tabular.SwapNoise(0.25, seed=1)(table))
    changed = got != table
    assert changed.mean() == pytest.approx(0.25, abs=0.03)
    for column in range(5):
        assert set(got[:, column]) <= set(table[:, column])
        # From any row, not from one permutation of them.
        sources = got[changed[:, column], column]
        assert len(set(sources)) < len(sources)


def test_dropped_cells_have_the_value():
    values = [1.0, 2.0, 3.0, 4.0, 5.0]
    got = _numpy(tabular.FeatureDropout(0.4, values, seed=1)(X))
    changed = got != X
    assert changed.mean() == pytest.approx(0.4, abs=0.03)
    np.testing.assert_array_equal(got, np.where(changed, values, X))
    assert _numpy(tabular.FeatureDropout(1.0)(X[0])).tolist() == [0.0] * 5
    with pytest.raises(ValueError, match="a value for each feature"):
        tabular.FeatureDropout(0.1, [1.0, 2.0])(X)


def test_mixing_with_categories():
    codes = np.arange(400.0)
    table = np.stack([codes, codes, X[:, 0]], axis=1).astype("float32")
    layer = tabular.TabularMixUp(1.0, categorical=[1], seed=2)
    data = {"features": table, "labels": table[:, 2:]}
    mixed = {key: _numpy(value) for key, value in layer(data).items()}
    features, labels = mixed["features"], mixed["labels"]
    np.testing.assert_allclose(features[:, 2:], labels, atol=1e-6)
    assert (features[:, 1] == features[:, 1].round()).all()  # codes remain codes
    own = features[:, 1] == codes
    assert 0.35 < own.mean() < 0.65
    assert (features[:, 0] != features[:, 0].round()).mean() > 0.9
    # On average a code is mixed as a number is.
    assert np.mean(features[:, 1] - features[:, 0]) == pytest.approx(0, abs=20)


@pytest.mark.parametrize("name", LAYERS)
def test_behaves_as_a_random_layer(name):
    layer = LAYERS[name](seed=4)
    first = _numpy(layer(X))
    assert first.shape == X.shape and first.dtype == np.float32
    assert np.mean(np.abs(first - X).max(axis=1) > 1e-5) > 0.7
    assert not np.array_equal(_numpy(layer(X)), first)
    np.testing.assert_array_equal(_numpy(LAYERS[name](seed=4)(X)), first)
    np.testing.assert_array_equal(_numpy(layer(X, training=False)), X)
    model = keras.Sequential([keras.Input((5,)), layer])
    np.testing.assert_array_equal(model.predict(X, verbose=0), X)
    if name != "FeatureDropout":
        with pytest.raises(ValueError, match=r"must be \(batch, features\)"):
            layer(X[0])


@pytest.mark.parametrize("name", LAYERS)
def test_in_tf_data_on_every_backend(name):
    import tensorflow as tf

    def epochs():
        dataset = tf.data.Dataset.from_tensor_slices({"features": X}).batch(50)
        dataset = dataset.map(LAYERS[name](seed=4), num_parallel_calls=4)
        rows = [list(dataset.as_numpy_iterator()) for _ in range(2)]
        return [np.concatenate([batch["features"] for batch in row]) for row in rows]

    first = epochs()
    assert first[0].shape == X.shape and not np.array_equal(*first)
    np.testing.assert_array_equal(epochs(), first)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: tabular.SwapNoise(1.5), "`rate` must be"),
        (lambda: tabular.FeatureDropout(-0.1), "`rate` must be"),
        (lambda: tabular.TabularMixUp(0), "`alpha` must be"),
        (lambda: tabular.TabularMixUp(categorical=[9])(X), "must be columns"),
        (lambda: tabular.TabularMixUp(categorical=[-1]), "`categorical` must be"),
    ],
)
def test_bad_input(make, text):
    with pytest.raises(ValueError, match=text):
        make()
