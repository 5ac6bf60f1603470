"""Low-rank factorization: numbers of the decomposition, budgets, and the models."""

import keras
import numpy as np
import pytest

from keras_strategies import compression
from keras_strategies.compression.factorization import _low_rank

L = keras.layers
RNG = np.random.default_rng(0)


def _low(shape, rank):
    """A kernel of a rank, with noise of a thousandth."""
    rows, columns = int(np.prod(shape[:-1])), shape[-1]
    kernel = RNG.normal(size=(rows, rank)) @ RNG.normal(size=(rank, columns))
    return (kernel + 1e-3 * RNG.normal(size=(rows, columns))).reshape(shape)


def _model():
    keras.utils.set_random_seed(0)
    inner = keras.Sequential(
        [keras.Input((10, 10, 3)), L.Conv2D(24, 3, strides=2, name="conv")],
        name="backbone",
    )
    inputs = keras.Input((10, 10, 3))
    x = L.Flatten()(L.BatchNormalization()(inner(inputs)))
    x = L.Dense(40, activation="relu", name="wide")(x)
    model = keras.Model(inputs, L.Dense(5, name="head")(x))
    for layer, rank in ((inner.layers[0], 4), (model.get_layer("wide"), 6)):
        kernel, bias = layer.get_weights()
        layer.set_weights([_low(kernel.shape, rank), RNG.normal(size=bias.shape)])
    return model


X = RNG.normal(size=(6, 10, 10, 3)).astype("float32")


def test_the_factors_are_the_best_of_their_rank():
    layer = L.Dense(7)
    layer.build((None, 9))
    factors = _low_rank.decompose(layer, "layer")
    kernel = np.array(keras.ops.convert_to_numpy(layer.kernel), "float64")
    for rank in (1, 3, 7):
        first, last = factors.kernels(rank)
        error = np.sum((first @ last - kernel) ** 2)
        # Eckart and Young: what is lost are the squares of the other singular values.
        assert error == pytest.approx(np.sum(factors.values[rank:] ** 2), abs=1e-10)
    share = np.sum(factors.values[:3] ** 2) / np.sum(factors.values**2)
    assert factors.rank_for(share) == 3 and factors.rank_for(share + 1e-6) == 4
    assert factors.rank_for(1.0) == 7
    assert factors.largest_rank == 3  # 3 * 16 < 63 <= 4 * 16


def test_kernels_of_low_rank_lose_nothing():
    model = _model()
    small = compression.factorize(model, energy=0.999)
    assert small.get_layer("wide_low_rank").units == 6
    conv = small.get_layer("backbone").get_layer("conv_low_rank")
    assert conv.filters == 4 and conv.kernel_size == (3, 3) and conv.strides == (2, 2)
    assert small.get_layer("backbone").get_layer("conv").kernel_size == (1, 1)
    assert "head_low_rank" not in [layer.name for layer in small.layers]
    expected = model.predict(X, verbose=0)
    made = small.predict(X, verbose=0)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(made / scale, expected / scale, atol=5e-3)
    assert small.count_params() < 0.35 * model.count_params()
    assert not small.compiled


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_a_budget_of_size_holds(share):
    model = _model()
    small = compression.factorize(model, size=share, include="wide|conv")
    kernels = [
        sum(
            int(np.prod(layer.kernel.shape))
            for layer in part
            if hasattr(layer, "kernel")
        )
        for part in (
            [model.get_layer("backbone").layers[0], model.get_layer("wide")],
            [
                *small.get_layer("backbone").layers,
                small.get_layer("wide"),
                small.get_layer("wide_low_rank"),
            ],
        )
    ]
    assert 0.3 * share < kernels[1] / kernels[0] <= share


def test_a_compiled_model_trains_on_and_is_saved(tmp_path):
    model = _model()
    model.get_layer("wide").trainable = False
    model.compile("adam", "mse")
    small = compression.factorize(model, rank=3, include="wide")
    assert not small.get_layer("wide_low_rank").trainable_weights
    before = small.get_layer("head").get_weights()[0]
    small.fit(X, RNG.normal(size=(6, 5)), verbose=0)
    assert np.abs(small.get_layer("head").get_weights()[0] - before).max() > 0
    small.save(tmp_path / "small.keras")
    loaded = keras.models.load_model(tmp_path / "small.keras")
    np.testing.assert_allclose(
        loaded.predict(X, verbose=0), small.predict(X, verbose=0), rtol=1e-5
    )


def test_layers_in_one_dimension_and_shared_ones():
    shared = L.Conv1D(16, 3, padding="causal", name="shared")
    inputs = keras.Input((8, 16))
    model = keras.Model(inputs, shared(shared(inputs)))
    shared.set_weights([_low((3, 16, 16), 2), np.zeros(16)])
    small = compression.factorize(model, rank=2)
    x = RNG.normal(size=(2, 8, 16)).astype("float32")
    expected = model.predict(x, verbose=0)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(
        small.predict(x, verbose=0) / scale, expected / scale, atol=5e-3
    )
    assert len([layer for layer in small.layers if "shared" in layer.name]) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "Exactly one of"),
        ({"rank": 2, "energy": 0.5}, "Exactly one of"),
        ({"energy": 0.0}, "`energy` must be in"),
        ({"size": 1.0}, "`size` must be in"),
        ({"rank": 0}, "`rank` must be"),
        ({"rank": 999}, "largest_ranks=.*'wide': 36"),
        ({"rank": 2, "include": "nothing"}, "`include` must match"),
    ],
)
def test_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        compression.factorize(_model(), **arguments)
    only = keras.Sequential([keras.Input((4,)), L.LayerNormalization()])
    with pytest.raises(ValueError, match="must have a Dense"):
        compression.factorize(only, rank=1)
