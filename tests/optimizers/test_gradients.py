"""The pure functions against NumPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_strategies.optimizers import _gradients as gradients

RNG = np.random.default_rng(0)
KERNEL = RNG.normal(size=(3, 3, 2, 4)).astype("float32")
GRADIENT = RNG.normal(size=(3, 3, 2, 4)).astype("float32")


def numbers(tensor):
    return ops.convert_to_numpy(tensor)


def test_centralized_units_have_mean_zero():
    found = numbers(gradients.centralize(ops.convert_to_tensor(GRADIENT)))
    np.testing.assert_allclose(
        found, GRADIENT - GRADIENT.mean(axis=(0, 1, 2)), atol=1e-6
    )
    vector = ops.convert_to_tensor(GRADIENT[0, 0, 0])
    np.testing.assert_array_equal(
        numbers(gradients.centralize(vector)), numbers(vector)
    )


@pytest.mark.parametrize("clip", [0.01, 0.5, 100.0])
def test_units_are_clipped_relative_to_their_weights(clip):
    found = numbers(
        gradients.adaptive_clip(
            ops.convert_to_tensor(GRADIENT), ops.convert_to_tensor(KERNEL), clip
        )
    )
    for unit in range(4):
        g, w = GRADIENT[..., unit], KERNEL[..., unit]
        limit = clip * max(np.linalg.norm(w), 1e-3)
        expected = g * min(1.0, limit / np.linalg.norm(g))
        np.testing.assert_allclose(found[..., unit], expected, rtol=1e-5)


def test_zero_weights_can_still_learn():
    g = np.full((2, 2), 3.0, "float32")
    found = numbers(
        gradients.adaptive_clip(ops.convert_to_tensor(g), ops.zeros((2, 2)), 0.1, 1e-3)
    )
    np.testing.assert_allclose(np.linalg.norm(found, axis=0), [1e-4] * 2, rtol=1e-4)


@settings(deadline=None)  # the first call starts the backend
@given(
    st.lists(st.integers(-1000, 1000), min_size=1, max_size=12),
    st.integers(0, 5),
    st.integers(0, 100),
)
def test_percentile_is_numpys(values, unused, q):
    history = np.array([*values, *[7e5] * unused], "float32")
    found = gradients.percentile(ops.convert_to_tensor(history), len(values), float(q))
    expected = np.percentile(np.array(values, "float64"), q)
    assert float(found) == pytest.approx(expected, rel=1e-4, abs=1e-2)


def test_noise_fades():
    for step in (0, 1, 100):
        found = float(gradients.stddev_of_noise(step, 0.3, 0.55))
        assert found == pytest.approx(np.sqrt(0.3 / (1 + step) ** 0.55), rel=1e-5)


def test_non_finite_elements_become_zero():
    g = ops.convert_to_tensor(np.array([1.0, np.nan, -np.inf], "float32"))
    np.testing.assert_array_equal(numbers(gradients.zero_non_finite(g)), [1.0, 0, 0])


@pytest.mark.parametrize("adaptive", [False, True])
def test_perturbation_has_the_given_radius(adaptive):
    weights = [KERNEL, KERNEL[0, 0, 0]]
    given = [GRADIENT, GRADIENT[0, 0, 0]]
    found = gradients.sharpness_perturbation(
        [ops.convert_to_tensor(g) for g in given],
        [ops.convert_to_tensor(w) for w in weights],
        rho=0.3,
        adaptive=adaptive,
    )
    found = [numbers(part) for part in found]
    sizes = [np.abs(KERNEL) + 0.01, np.ones(4)] if adaptive else [1.0, 1.0]
    scaled = [part / t for part, t in zip(found, sizes, strict=True)]
    norm = np.sqrt(sum((part**2).sum() for part in scaled))
    assert norm == pytest.approx(0.3, rel=1e-4)
    for part, g, t in zip(found, given, sizes, strict=True):
        ratio = part / (t * t * g)
        np.testing.assert_allclose(ratio, ratio.reshape(-1)[0], rtol=1e-3)
