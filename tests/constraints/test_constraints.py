"""Constraints against NumPy, on every layout of a kernel, and in training."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_strategies.constraints import Orthogonal, UnitSpectralNorm

LAYOUTS = [
    ((6, 4), -1),
    ((4, 6), -1),
    ((5,), -1),
    ((3, 3, 2, 4), -1),
    ((3, 3, 2, 4), (-2, -1)),
    ((3, 3, 4, 2), -2),
]

if keras.backend.backend() == "jax":  # compiles each operation for each shape
    LAYOUTS = [LAYOUTS[1], LAYOUTS[4]]


def _kernel(shape, scale=0.5, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(scale=scale, size=shape).astype("float32")


def _matrix(w, axis):
    axes = axis if isinstance(axis, tuple) else (axis,)
    moved = np.moveaxis(w.astype("float64"), axes, range(len(axes)))
    return moved.reshape(int(np.prod(moved.shape[: len(axes)])), -1).T


def _apply(constraint, w):
    return ops.convert_to_numpy(constraint(ops.array(w)))


@pytest.mark.parametrize(("shape", "axis"), LAYOUTS, ids=str)
def test_orthogonal_is_the_polar_factor_in_the_same_layout(shape, axis):
    w = _kernel(shape)
    got = _apply(Orthogonal(axis), w)
    assert got.shape == shape
    u, _, vh = np.linalg.svd(_matrix(w, axis), full_matrices=False)
    np.testing.assert_allclose(_matrix(got, axis), u @ vh, atol=1e-5)
    np.testing.assert_allclose(_apply(Orthogonal(axis), got), got, atol=1e-5)


@pytest.mark.parametrize(("shape", "axis"), LAYOUTS, ids=str)
def test_unit_spectral_norm_divides_by_the_norm(shape, axis):
    w = _kernel(shape)
    got = _apply(UnitSpectralNorm(30, axis), w)
    np.testing.assert_allclose(got, w / np.linalg.norm(_matrix(w, axis), 2), rtol=1e-3)
    np.testing.assert_allclose(_apply(UnitSpectralNorm(30, axis), got), got, rtol=1e-3)


def test_few_power_iterations_leave_the_norm_a_little_above_one():
    norms = [
        np.linalg.norm(_apply(UnitSpectralNorm(n), _kernel((64, 64))), 2)
        for n in (1, 10, 30)
    ]
    assert norms == sorted(norms, reverse=True)
    assert norms[1] < 1.1 and 1 - 1e-5 < norms[2] < 1.05


@pytest.mark.parametrize("constraint", [Orthogonal(), UnitSpectralNorm()])
def test_degenerate_kernels_stay_finite(constraint):
    lost = _kernel((4, 3))
    lost[:, 1] = 0
    for w in (np.zeros((4, 3), "float32"), lost, 1e-30 * lost, 1e30 * lost):
        got = _apply(constraint, w)
        assert np.isfinite(got).all()
        if w.any():
            assert np.linalg.norm(got, 2) == pytest.approx(1, abs=0.02)
    half = _apply(constraint, _kernel((4, 3)).astype("float16"))
    assert half.dtype == "float16"
    assert np.linalg.norm(half.astype("float32"), 2) == pytest.approx(1, abs=0.02)


def test_zeros_stay_under_the_spectral_norm():
    np.testing.assert_array_equal(_apply(UnitSpectralNorm(), np.zeros((3, 2))), 0)


def test_kernels_are_constrained_after_training_and_saving(tmp_path):
    inputs = keras.Input((4, 3))
    x = keras.layers.SimpleRNN(5, recurrent_constraint=Orthogonal())(inputs)
    x = keras.layers.Dense(4, kernel_constraint=UnitSpectralNorm(12))(x)
    model = keras.Model(inputs, x)
    model.compile(keras.optimizers.SGD(1.0), "mse")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(16, 4, 3)), rng.normal(size=(16, 4))
    model.fit(x, y, batch_size=8, verbose=0)
    recurrent, kernel = model.get_weights()[1], model.get_weights()[3]
    np.testing.assert_allclose(recurrent.T @ recurrent, np.eye(5), atol=1e-5)
    assert np.linalg.norm(kernel, 2) == pytest.approx(1, abs=0.02)
    model.save(tmp_path / "model.keras")
    model = keras.models.load_model(tmp_path / "model.keras")
    assert model.layers[-1].kernel_constraint.power_iterations == 12


def test_bad_values_are_refused():
    with pytest.raises(ValueError, match="`power_iterations` must"):
        UnitSpectralNorm(0)
    for cls in (Orthogonal, UnitSpectralNorm):
        with pytest.raises(ValueError, match="`axis` must"):
            cls(axis=(1, 1))
        with pytest.raises(ValueError, match="`axis` must name different axes"):
            cls(axis=2)(ops.ones((3, 2)))
