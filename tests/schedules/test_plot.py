"""schedules.plot draws what the schedules say."""

import keras
import numpy as np
import pytest

from keras_strategies import schedules

plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def test_draws_every_kind_with_its_values():
    cosine = keras.optimizers.schedules.CosineDecay(0.1, decay_steps=20)
    ax = schedules.plot([cosine, lambda step: 0.001 * step, 0.05, cosine], steps=20)
    lines = ax.get_lines()
    labels = [line.get_label() for line in lines]
    assert labels == ["CosineDecay", "<lambda>", "0.05", "CosineDecay 2"]
    for line in lines:
        np.testing.assert_array_equal(line.get_xdata(), np.arange(21))
    expected = 0.05 * (1 + np.cos(np.pi * np.arange(21) / 20))
    np.testing.assert_allclose(lines[0].get_ydata(), expected, atol=1e-6)
    np.testing.assert_allclose(lines[1].get_ydata(), 0.001 * np.arange(21))
    np.testing.assert_allclose(lines[2].get_ydata(), 0.05)
    assert ax.get_legend() is not None


def test_long_courses_are_sampled_from_start_to_end():
    ax = schedules.plot(lambda step: step, steps=10**6)
    at = ax.get_lines()[0].get_xdata()
    assert len(at) <= 501 and at[0] == 0 and at[-1] == 10**6


def test_draws_on_given_axes():
    _, own = plt.subplots()
    given = {"mine": schedules.StepDecay(0.1, 5)}
    assert schedules.plot(given, steps=10, ax=own) is own
    assert own.get_lines()[0].get_label() == "mine"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [(("fast", 10), TypeError), ((0.1, 0), ValueError), (([], 10), ValueError)],
)
def test_bad_arguments(arguments, error):
    before = plt.get_fignums()
    with pytest.raises(error):
        schedules.plot(*arguments)
    assert plt.get_fignums() == before
