"""Activity regularizers against NumPy, in layers, and what they do."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_strategies._internal import keras_private
from keras_strategies.regularizers import KLSparsity, TemporalActivation


def _outputs(shape, seed=0):
    return np.random.default_rng(seed).uniform(0.01, 0.99, shape).astype("float32")


def _temporal(x, alpha, beta, axis=1):
    x = x.astype("float64")
    return alpha * (x**2).mean() + beta * (np.diff(x, axis=axis) ** 2).mean()


def _divergence(x, target):
    m = x.astype("float64").reshape(-1, x.shape[-1]).mean(axis=0)
    on, off = target * np.log(target / m), np.log((1 - target) / (1 - m))
    return (on + (1 - target) * off).sum()


@pytest.mark.parametrize(("shape", "axis"), [((4, 5, 3), 1), ((4, 2, 5, 3), -2)])
def test_temporal_activation_is_its_formula(shape, axis):
    x = _outputs(shape)
    got = float(TemporalActivation(2.0, 3.0, axis)(ops.array(x)))
    assert got == pytest.approx(len(x) * _temporal(x, 2, 3, axis), rel=1e-5)


@pytest.mark.parametrize("shape", [(6, 3), (6, 4, 3)])
def test_kl_sparsity_is_its_formula(shape):
    x = _outputs(shape)
    got = float(KLSparsity(0.5, 0.2)(ops.array(x)))
    assert got == pytest.approx(len(x) * 0.5 * _divergence(x, 0.2), rel=1e-5)


def test_a_layer_adds_the_formula_whatever_the_batch():
    x = _outputs((8, 6, 3))
    slow = keras.layers.Dense(4, activity_regularizer=TemporalActivation(2.0, 1.0))
    dense = keras.layers.Dense(
        4, activation="sigmoid", activity_regularizer=KLSparsity(0.5, 0.1)
    )
    for layer, formula in (
        (slow, lambda h: _temporal(h, 2.0, 1.0)),
        (dense, lambda h: 0.5 * _divergence(h, 0.1)),
    ):
        for batch in (8, 2):
            h = ops.convert_to_numpy(layer(x[:batch]))
            [loss] = layer.losses
            got = float(ops.convert_to_numpy(loss))
            assert got == pytest.approx(formula(h), rel=1e-4)


def _slopes(means, target):
    regularizer = KLSparsity(1.0, target)
    _, _, [found] = keras_private.gradients(
        lambda xs: (regularizer(xs[0]), None), [np.array([means], "float32")]
    )
    return ops.convert_to_numpy(found)[0]


def test_kl_sparsity_leads_back_from_everywhere():
    slopes = _slopes([-3.0, 0.0, 0.01, 0.05, 0.5, 1.0, 40.0], 0.05)
    assert np.isfinite(slopes).all()
    assert (slopes[:3] < 0).all() and (slopes[4:] > 0).all()
    assert slopes[3] == pytest.approx(0, abs=1e-4)
    assert slopes[1] == pytest.approx(-0.05 / 1e-3 + 0.95 / 0.999, rel=1e-3)
    assert slopes[4] == pytest.approx(-0.05 / 0.5 + 0.95 / 0.5, rel=1e-4)


def test_one_step_in_time_has_no_difference():
    x = _outputs((3, 1, 2))
    assert float(TemporalActivation(0.0, 1.0)(ops.array(x))) == 0


def test_half_precision_outputs_have_a_float32_penalty():
    x = ops.cast(ops.full((64, 32, 4), 200.0), "float16")
    got = TemporalActivation(1.0, 1.0)(x)
    assert keras.backend.standardize_dtype(got.dtype) == "float32"
    assert float(got) == pytest.approx(64 * 200.0**2, rel=1e-5)


def test_sequences_of_any_length_train_and_units_become_rare():
    """Mean activations go to the target; without the penalty they stay near 0.5."""
    x = np.random.default_rng(0).normal(size=(64, 5, 6)).astype("float32")
    model = keras.Sequential(
        [
            keras.Input((None, 6)),
            keras.layers.Dense(6, activity_regularizer=TemporalActivation()),
            keras.layers.Dense(
                8, activation="sigmoid", activity_regularizer=KLSparsity(1.0, 0.1)
            ),
        ]
    )
    model.compile(keras.optimizers.Adam(0.1), loss=lambda y, p: 0.0 * ops.mean(p))
    many = np.tile(x, (40, 1, 1))
    model.fit(many, many[..., :1], batch_size=64, shuffle=False, verbose=0)
    means = ops.convert_to_numpy(model(x)).mean(axis=(0, 1))
    np.testing.assert_allclose(means, 0.1, atol=0.04)


@pytest.mark.parametrize(
    "make",
    [
        lambda: TemporalActivation(alpha=-1.0),
        lambda: TemporalActivation(beta=float("inf")),
        lambda: TemporalActivation(axis=0)(ops.ones((2, 3))),
        lambda: TemporalActivation()(ops.ones((2,))),
        lambda: KLSparsity(factor=-1.0),
        lambda: KLSparsity(target=0.0),
        lambda: KLSparsity(axis=-2)(ops.ones((2, 3))),
    ],
)
def test_bad_values_are_refused(make):
    with pytest.raises(ValueError, match=r"`\w+` must .*Received: "):
        make()
