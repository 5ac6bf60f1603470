"""Colour matrices against Keras's layers and against the formulas."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_strategies.augmentation import RandomColorAffine
from keras_strategies.augmentation._image.color.color_matrices import (
    LUMA,
    color_matrices,
)


def _images():
    rng = np.random.default_rng(0)
    return rng.uniform(0, 1, (3, 5, 7, 3)).astype("float32")


def _changed(**factors):
    layer = RandomColorAffine(value_range=(0, 1), seed=1, **factors)
    return ops.convert_to_numpy(layer(_images()))


def test_brightness_is_that_of_keras():
    expected = keras.layers.RandomBrightness((0.2, 0.2), value_range=(0, 1))
    np.testing.assert_allclose(
        _changed(brightness_factor=(0.2, 0.2)),
        ops.convert_to_numpy(expected(_images(), training=True)),
        atol=1e-6,
    )


def test_contrast_stretches_about_the_mean_of_each_channel():
    images = _images()
    means = images.mean(axis=(1, 2), keepdims=True)
    layer = RandomColorAffine(contrast_factor=(0.0, 1.0), value_range=(-9, 9), seed=1)
    got = ops.convert_to_numpy(layer(images))
    gains = (got - means) / (images - means)
    for gain in gains:
        np.testing.assert_allclose(gain, gain.flat[0], rtol=1e-2)
    assert gains.min() >= 1 and gains.max() <= 2
    assert len({round(float(np.median(gain)), 2) for gain in gains}) == 3


def test_no_saturation_is_the_luma():
    one, zero = np.ones(3, "float32"), np.zeros(3, "float32")
    images = _images()
    linear, bias = color_matrices(zero, one, zero, zero, images.mean((1, 2)))
    luma = images @ np.array(LUMA, "float32")
    got = np.einsum("bhwc,bdc->bhwd", images, ops.convert_to_numpy(linear))
    np.testing.assert_allclose(got, luma[..., None] * np.ones(3), atol=1e-6)
    np.testing.assert_allclose(ops.convert_to_numpy(bias), 0, atol=1e-6)


def test_a_third_of_a_turn_of_hue_is_that_of_keras():
    """There the turn about the grey axis and the shift in HSV are the same."""
    expected = keras.layers.RandomHue((2 / 3, 2 / 3), value_range=(0, 1))
    expected = ops.convert_to_numpy(expected(_images(), training=True))
    turned = _changed(hue_factor=(2 / 3, 2 / 3))
    # Each image is turned to one side or to the other.
    back = np.roll(expected, 1, axis=-1)
    for image, one, other in zip(turned, expected, back, strict=True):
        sides = np.abs(image - one).max(), np.abs(image - other).max()
        third = np.abs(image - np.roll(other, 1, axis=-1)).max()
        assert min(*sides, third) < 1e-5


def test_four_changes_at_once_are_the_four_in_turn():
    numbers = [[0.1, 1.2, 0.6, 0.4], [-0.2, 0.7, 1.5, -1.0], [0.0, 1.0, 1.0, 0.0]]
    brightness, contrast, saturation, hue = np.array(numbers, "float32").T
    x = _images()
    one, zero = np.ones(3, "float32"), np.zeros(3, "float32")

    def step(images, *parameters):
        matrices = color_matrices(*parameters, images.mean((1, 2)))
        linear, bias = (ops.convert_to_numpy(m) for m in matrices)
        return np.einsum("bhwc,bdc->bhwd", images, linear) + bias[:, None, None]

    at_once = step(x, brightness, contrast, saturation, hue)
    in_turn = step(x, brightness, one, one, zero)
    in_turn = step(in_turn, zero, contrast, one, zero)
    in_turn = step(in_turn, zero, one, saturation, zero)
    in_turn = step(in_turn, zero, one, one, hue)
    np.testing.assert_allclose(at_once, in_turn, atol=1e-5)
    np.testing.assert_allclose(at_once[2], x[2], atol=1e-6)


@pytest.mark.parametrize("low", [0, -1])
def test_results_stay_in_the_range(low):
    layer = RandomColorAffine(1.0, 1.0, 1.0, 1.0, value_range=(low, 1), seed=0)
    got = ops.convert_to_numpy(layer(_images()))
    assert got.min() >= low and got.max() <= 1


def test_mixed_float16_computes_in_float32():
    layer = RandomColorAffine(0.2, 0.3, 0.5, 0.1, seed=2, dtype="mixed_float16")
    half = layer(_images() * 255)
    assert keras.backend.standardize_dtype(half.dtype) == "float16"
    full = RandomColorAffine(0.2, 0.3, 0.5, 0.1, seed=2)(_images() * 255)
    np.testing.assert_allclose(
        ops.convert_to_numpy(half), ops.convert_to_numpy(full), atol=0.4
    )
