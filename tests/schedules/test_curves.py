"""The pure curves: known values, and the same ones from numpy and keras.ops."""

import keras
import numpy as np
import pytest

from keras_strategies.schedules import _curves as curves

POSITIONS = [0.0, 1.0, 2.5, 9.0, 10.0, 11.0, 20.0, 1000.0]


@pytest.mark.parametrize(
    ("curve", "arguments", "expected"),
    [
        (curves.step_decay, (10, 0.5), [1, 1, 1, 1, 0.5, 0.5, 0.25, 2.0**-100]),
        (
            curves.exponential_decay,
            (10, 0.25),
            [0.25 ** (p / 10) for p in POSITIONS],
        ),
        (
            curves.cosine_decay,
            (10, 0.2),
            [0.2 + 0.4 * (1 + np.cos(np.pi * min(p / 10, 1))) for p in POSITIONS],
        ),
        (curves.warmup_fraction, (10,), [0, 0.1, 0.25, 0.9, 1, 1, 1, 1]),
        (
            curves.warmup_fraction,
            (10, "cosine"),
            [(1 - np.cos(np.pi * min(p / 10, 1))) / 2 for p in POSITIONS],
        ),
    ],
)
def test_values(curve, arguments, expected):
    with_numpy = curve(np.array(POSITIONS), *arguments, xp=np)
    np.testing.assert_allclose(with_numpy, expected, rtol=1e-12, atol=1e-30)
    tensor = keras.ops.convert_to_tensor(POSITIONS, "float32")
    with_keras = keras.ops.convert_to_numpy(curve(tensor, *arguments))
    np.testing.assert_allclose(with_keras, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("decay_steps", [3, 7, 10, 49])
def test_stairs_fall_on_the_exact_step(decay_steps):
    steps = np.arange(3000)
    expected = 0.999 ** (steps // decay_steps)
    got = curves.step_decay(
        keras.ops.convert_to_tensor(steps, "float32"), float(decay_steps), 0.999
    )
    np.testing.assert_allclose(keras.ops.convert_to_numpy(got), expected, rtol=1e-4)
