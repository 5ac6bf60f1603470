"""Weight regularizers against NumPy, their gradients against differences."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_strategies._internal import keras_private
from keras_strategies._internal.weights.power_iteration import start_vector
from keras_strategies.regularizers import (
    ConvOrthogonal,
    ElasticGroupLasso,
    Entropy,
    Hoyer,
    LogBarrier,
    SpectralNorm,
)

KERNELS = [(5,), (4, 6), (6, 4), (3, 3, 2, 4)]


def _kernel(shape, scale=0.5, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(scale=scale, size=shape).astype("float32")


def _matrix(w, axes=(-1,)):
    """Columns are the groups."""
    moved = np.moveaxis(w.astype("float64"), axes, range(len(axes)))
    return moved.reshape(int(np.prod(moved.shape[: len(axes)])), -1).T


def _value(regularizer, w):
    return float(regularizer(ops.array(w)))


def _gradient(regularizer, w):
    _, _, found = keras_private.gradients(
        lambda xs: (regularizer(xs[0]), None), [ops.array(w)]
    )
    return ops.convert_to_numpy(found[0])


def _elastic(w, factor, l1, l2):
    m = _matrix(w)
    groups = np.sqrt(m.shape[0]) * np.linalg.norm(m, axis=0).sum()
    return factor * groups + l1 * np.abs(m).sum() + l2 * (m**2).sum()


def _entropy(sizes):
    p = sizes[sizes > 0] / sizes.sum()
    return -(p * np.log(p)).sum()


def _orthogonal_error(w):
    m = _matrix(w)
    gram = m.T @ m if m.shape[0] >= m.shape[1] else m @ m.T
    return gram - np.eye(len(gram))


def _barrier(w, limit, margin):
    r = np.abs(w.astype("float64")) / limit
    edge = 1 - margin
    slope = 2 * edge / (1 - edge**2)
    with np.errstate(all="ignore"):
        curve = -np.log(1 - r**2)
    return np.where(r <= edge, curve, -np.log(1 - edge**2) + slope * (r - edge)).sum()


REFERENCES = {
    "elastic": (
        ElasticGroupLasso(0.3, 0.2, 0.1),
        lambda w: _elastic(w, 0.3, 0.2, 0.1),
    ),
    "hoyer": (
        Hoyer(0.3),
        lambda w: 0.3 * np.abs(w).sum() ** 2 / (w.astype("float64") ** 2).sum(),
    ),
    "hoyer_root": (
        Hoyer(0.3, squared=False),
        lambda w: 0.3 * np.abs(w).sum() / np.linalg.norm(w.astype("float64")),
    ),
    "hoyer_groups": (
        Hoyer(0.3, axis=-1),
        lambda w: (
            0.3
            * np.linalg.norm(_matrix(w), axis=0).sum() ** 2
            / (_matrix(w) ** 2).sum()
        ),
    ),
    "entropy": (Entropy(0.3), lambda w: 0.3 * _entropy(np.abs(w))),
    "entropy_squares": (Entropy(0.3, power=2), lambda w: 0.3 * _entropy(w**2)),
    "entropy_groups": (
        Entropy(0.3, axis=-1),
        lambda w: 0.3 * _entropy(np.linalg.norm(_matrix(w), axis=0)),
    ),
    "so": (
        ConvOrthogonal(0.3, mode="so"),
        lambda w: 0.3 * (_orthogonal_error(w) ** 2).sum(),
    ),
    "srip": (
        ConvOrthogonal(0.3, power_iterations=200),
        lambda w: 0.3 * np.abs(np.linalg.eigvalsh(_orthogonal_error(w))).max(),
    ),
    "spectral": (
        SpectralNorm(0.3, power_iterations=50),
        lambda w: 0.3 * np.linalg.norm(_matrix(w), 2) ** 2,
    ),
    "barrier": (LogBarrier(0.3, 0.7, 0.2), lambda w: 0.3 * _barrier(w, 0.7, 0.2)),
}


@pytest.mark.parametrize("shape", KERNELS, ids=str)
@pytest.mark.parametrize("name", REFERENCES)
def test_closed_form(name, shape):
    regularizer, reference = REFERENCES[name]
    w = _kernel(shape)
    assert _value(regularizer, w) == pytest.approx(reference(w), rel=2e-4)


@pytest.mark.parametrize("name", REFERENCES)
def test_gradient_is_the_slope(name):
    """Central differences of the float64 reference along a random direction."""
    regularizer, reference = REFERENCES[name]
    w, direction = _kernel((4, 3), seed=1), _kernel((4, 3), 1.0, seed=2)
    step = 1e-3
    high = reference(w.astype("float64") + step * direction)
    low = reference(w.astype("float64") - step * direction)
    slope = (_gradient(regularizer, w) * direction).sum()
    assert slope == pytest.approx((high - low) / (2 * step), rel=5e-3)


@pytest.mark.parametrize("name", REFERENCES)
def test_zeros_have_a_finite_value_and_gradient(name):
    regularizer, _ = REFERENCES[name]
    whole = np.zeros((4, 3), "float32")
    partly = _kernel((4, 3))
    partly[:, 1] = partly[2] = 0
    for w in (whole, partly):
        assert np.isfinite(_value(regularizer, w))
        assert np.isfinite(_gradient(regularizer, w)).all()
    if name not in ("so", "srip"):
        assert _value(regularizer, whole) == 0
        np.testing.assert_array_equal(_gradient(regularizer, whole), 0)


@pytest.mark.parametrize("name", [n for n in REFERENCES if n != "barrier"])
def test_float16_kernels_are_summed_in_float32(name):
    regularizer, reference = REFERENCES[name]
    # Sums and products of these leave the range of float16.
    w = (1e-4 * (1 + np.arange(2048).reshape(512, 4) % 7)).astype("float16")
    got = regularizer(ops.array(w))
    assert keras.backend.standardize_dtype(got.dtype) == "float16"
    assert float(got) == pytest.approx(reference(w.astype("float32")), rel=5e-3)


@pytest.mark.parametrize("name", ["hoyer", "hoyer_root", "entropy", "entropy_groups"])
def test_scale_does_not_matter(name):
    regularizer, w = REFERENCES[name][0], _kernel((6, 4))
    value = _value(regularizer, w)
    assert _value(regularizer, 1e-8 * w) == pytest.approx(value, rel=1e-4)
    assert (_gradient(regularizer, w) * w).sum() == pytest.approx(0, abs=1e-5)


def test_orthonormal_kernels_have_no_penalty():
    tall = np.linalg.qr(_kernel((18, 4)))[0].astype("float32")
    for w in (tall.reshape(3, 3, 2, 4), tall.T, np.eye(5, dtype="float32")):
        for mode in ("srip", "so"):
            regularizer = ConvOrthogonal(1.0, mode)
            assert _value(regularizer, w) == pytest.approx(0, abs=1e-5)
            assert np.isfinite(_gradient(regularizer, w)).all()
    # The filters of a depthwise kernel: one for each input and multiplier.
    w = tall.reshape(3, 3, 2, 4)
    mixed = ConvOrthogonal(1.0, "so", axis=(-2, -1))
    expected = (w.reshape(9, 8).T @ w.reshape(9, 8) - np.eye(8)).astype("float64")
    assert _value(mixed, w) == pytest.approx((expected**2).sum(), rel=1e-4)


def test_power_iteration_finds_what_a_constant_start_would_miss():
    """The leading direction has mean zero in rows and columns."""
    wave = np.array([1.0, -1.0, 1.0, -1.0]) / 2
    w = (3 * np.outer(wave, wave) + np.ones((4, 4)) / 8).astype("float32")
    assert _value(SpectralNorm(1.0), w) == pytest.approx(9.0, rel=1e-4)
    assert len({float(v) for v in ops.convert_to_numpy(start_vector(500))}) == 500


def test_power_iteration_is_a_lower_estimate_and_repeats():
    w = _kernel((12, 12))
    values = [_value(SpectralNorm(1.0, n), w) for n in (1, 2, 8, 50)]
    assert values == sorted(values)
    assert _value(SpectralNorm(1.0, 2), w) == values[1]


def test_barrier_is_continuous_and_pushes_back_outside():
    wall = LogBarrier(1.0, limit=2.0, margin=0.1)
    edge = 2.0 * 0.9
    below, above = edge - 1e-4, edge + 1e-4
    assert _value(wall, np.array([above])) == pytest.approx(
        _value(wall, np.array([below])), rel=1e-3
    )
    slopes = [
        _gradient(wall, np.array([x], "float32"))[0]
        for x in (0.0, 1.0, below, above, 2.0, 50.0, -50.0)
    ]
    assert slopes[:2] == pytest.approx([0.0, 2 * 1.0 / (4 - 1)], rel=1e-4)
    assert slopes[2:6] == pytest.approx([2 * 0.9 / 0.19 / 2] * 4, rel=2e-3)
    assert slopes[6] == -slopes[5]


def test_hoyer_spares_what_is_large():
    w = np.array([[2.0, 0.1, 0.05, 1.9]], "float32")
    slopes = _gradient(Hoyer(1.0), w)[0]
    assert (slopes[1:3] > 0).all() and (slopes[[0, 3]] < 0).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda: ElasticGroupLasso(-1.0),
        lambda: ElasticGroupLasso(l1=-1.0),
        lambda: ElasticGroupLasso(l2=float("nan")),
        lambda: Hoyer(-1.0),
        lambda: Entropy(power=3),
        lambda: ConvOrthogonal(mode="dso"),
        lambda: ConvOrthogonal(power_iterations=0),
        lambda: SpectralNorm(power_iterations=0),
        lambda: SpectralNorm(axis=()),
        lambda: LogBarrier(limit=0.0),
        lambda: LogBarrier(margin=1.0),
        lambda: Hoyer(axis=4)(ops.ones((2, 3))),
    ],
)
def test_bad_values_are_refused(make):
    with pytest.raises(ValueError, match=r"`\w+` must .*Received: "):
        make()
