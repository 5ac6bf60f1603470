"""Curves that rise and fall: known values, from numpy and from keras.ops."""

import keras
import numpy as np
import pytest

from keras_strategies.schedules import OneCycle
from keras_strategies.schedules import _cycles as cycles

POSITIONS = [0.0, 1.0, 2.5, 4.0, 7.0, 10.0, 12.0, 400.0]


def cosine(start, end, p):
    return start + (end - start) * (1 - np.cos(np.pi * p)) / 2


@pytest.mark.parametrize(
    ("curve", "arguments", "expected"),
    [
        (
            cycles.one_cycle,
            (10.0, 0.4, 1.0, 5.0, 0.5, "linear"),
            [1, 2, 3.5, 5, 2.75, 0.5, 0.5, 0.5],
        ),
        (
            cycles.one_cycle,
            (10.0, 0.4, 1.0, 5.0, 0.5),
            [
                cosine(1, 5, p / 4) if p < 4 else cosine(5, 0.5, min((p - 4) / 6, 1))
                for p in POSITIONS
            ],
        ),
        (
            cycles.one_cycle_momentum,
            (10.0, 0.4, 0.8, 0.9, "linear"),
            [0.9, 0.875, 0.8375, 0.8, 0.85, 0.9, 0.9, 0.9],
        ),
        (cycles.triangular_wave, (5.0,), [0, 0.2, 0.5, 0.8, 0.6, 0, 0.4, 0]),
        (
            cycles.triangular_wave,
            (5.0, "triangular2"),
            [0, 0.2, 0.5, 0.8, 0.6, 0, 0.2, 0],
        ),
        (
            cycles.triangular_wave,
            (5.0, "exp_range", 0.9),
            [
                w * 0.9**p
                for w, p in zip(
                    [0, 0.2, 0.5, 0.8, 0.6, 0, 0.4, 0], POSITIONS, strict=True
                )
            ],
        ),
    ],
)
def test_values(curve, arguments, expected):
    with_numpy = curve(np.array(POSITIONS), *arguments, xp=np)
    np.testing.assert_allclose(with_numpy, expected, rtol=1e-12, atol=1e-12)
    tensor = keras.ops.convert_to_tensor(POSITIONS, "float32")
    with_keras = keras.ops.convert_to_numpy(curve(tensor, *arguments))
    np.testing.assert_allclose(with_keras, expected, rtol=1e-4, atol=1e-5)


def test_momentum_is_lowest_where_the_rate_is_highest():
    schedule = OneCycle(1.0, total_steps=50, warmup_fraction=0.2)
    momentum = schedule.momentum_schedule(base_momentum=0.8, max_momentum=0.9)
    steps = np.arange(60)
    rates = [float(schedule(int(step))) for step in steps]
    momenta = momentum(steps, xp=np)
    assert np.argmax(rates) == np.argmin(momenta) == 10
    assert momenta[10] == pytest.approx(0.8)
    assert momenta[[0, 50, 59]] == pytest.approx(0.9)


@pytest.mark.parametrize("bad", [{"base_momentum": 1.0}, {"max_momentum": -0.1}])
def test_momentum_out_of_range(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        OneCycle(1.0, total_steps=50).momentum_schedule(**bad)
