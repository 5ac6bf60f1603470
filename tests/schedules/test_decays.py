"""The decaying schedules: bad arguments, and agreement with Keras's where they meet."""

import keras
import numpy as np
import pytest

from keras_strategies import schedules


def values(schedule, steps):
    return [float(keras.ops.convert_to_numpy(schedule(step))) for step in steps]


def test_step_decay_without_floor_is_the_staircase_of_keras():
    ours = schedules.StepDecay(0.3, decay_steps=7, decay_rate=0.7)
    theirs = keras.optimizers.schedules.ExponentialDecay(0.3, 7, 0.7, staircase=True)
    steps = range(0, 70, 3)
    np.testing.assert_allclose(values(ours, steps), values(theirs, steps), rtol=1e-6)


def test_noam_is_the_formula_of_the_paper():
    schedule = schedules.InverseSquareRoot(400, d_model=512)
    steps = np.array([1, 10, 399, 400, 401, 5000, 10**6])
    expected = 512**-0.5 * np.minimum(steps**-0.5, steps * 400**-1.5)
    np.testing.assert_allclose(values(schedule, steps.tolist()), expected, rtol=1e-5)


def test_flat_cosine_without_flat_part_is_keras_cosine():
    ours = schedules.FlatCosine(0.3, total_steps=50, flat_fraction=0.0, alpha=0.2)
    theirs = keras.optimizers.schedules.CosineDecay(0.3, 50, alpha=0.2)
    steps = range(0, 70, 3)
    np.testing.assert_allclose(values(ours, steps), values(theirs, steps), rtol=1e-5)


def test_joined_schedules_see_exact_integers():
    class LastDigit(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step):
            return keras.ops.cast(step % 10, "float32")

    schedule = schedules.JoinSchedules([LastDigit(), LastDigit()], boundaries=[1])
    step = keras.ops.convert_to_tensor(2**24 + 2, "int32")
    assert values(schedule, [step]) == [(2**24 + 1) % 10]


def test_joined_schedules_nest():
    inner = schedules.JoinSchedules([0.1, 0.2], boundaries=[5])
    outer = schedules.JoinSchedules([0.3, inner], boundaries=[10])
    again = schedules.JoinSchedules.from_config(outer.get_config())
    for schedule in (outer, again):
        got = values(schedule, (0, 9, 10, 14, 15))
        assert got == pytest.approx([0.3, 0.3, 0.1, 0.1, 0.2])


@pytest.mark.parametrize(
    ("name", "arguments", "error", "words"),
    [
        (
            "StepDecay",
            (0.1, 0),
            ValueError,
            "`decay_steps` must be an integer at least",
        ),
        ("StepDecay", (0.1, 5, 1.5), ValueError, "`decay_rate` must be in (0, 1]"),
        ("StepDecay", (0.0, 5), ValueError, "`initial_learning_rate`"),
        ("StepDecay", (0.1, 5, 0.5, 2.0), ValueError, "`alpha`"),
        ("MultiStepDecay", (0.1, []), ValueError, "increasing steps"),
        ("MultiStepDecay", (0.1, [5, 5]), ValueError, "milestones=[5, 5]"),
        ("MultiStepDecay", (0.1, [2.5]), TypeError, "`milestones[0]`"),
        ("MultiStepDecay", (0.1, 5), TypeError, "`milestones` must be a list"),
        ("JoinSchedules", ([0.1, 0.2], [5, 9]), ValueError, "one fewer"),
        ("JoinSchedules", ([0.1, len], [5]), TypeError, "`schedules[1]`"),
        ("JoinSchedules", (0.1, [5]), TypeError, "`schedules`"),
        ("OneCycle", (0.1, 10, 1.0), ValueError, "`warmup_fraction`"),
        ("OneCycle", (0.1, 10, 0.3, 0.5), ValueError, "`div_factor`"),
        ("OneCycle", (0.1, 1), ValueError, "`total_steps`"),
        ("OneCycle", (0.1, 10, 0.3, 25, 10, "square"), ValueError, "shape='square'"),
        ("Cyclical", (0.5, 0.1, 5), ValueError, "`max_learning_rate` must be greater"),
        ("Cyclical", (0.1, 0.5, 5, "triangular3"), ValueError, "`mode`"),
        ("Cyclical", (0.1, 0.5, 5, "triangular", 0.9), ValueError, "`gamma`"),
        ("FlatCosine", (0.1, 10, 1.0), ValueError, "`flat_fraction`"),
        ("WarmupStableDecay", (0.1, 10, 6, 5), ValueError, "must be at most"),
        ("WarmupStableDecay", (0.1, 10, 1, 0), ValueError, "`decay_steps`"),
        ("InverseSquareRoot", (10,), ValueError, "Exactly one"),
        ("InverseSquareRoot", (10, 0.1, 64), ValueError, "Exactly one"),
        ("InverseSquareRoot", (0, 0.1), ValueError, "`warmup_steps`"),
        ("TanhDecay", (0.1, 10, 3.0, -6.0), ValueError, "`upper` must be greater"),
        ("ScaledSchedule", (lambda: 0.1,), TypeError, "`schedule`"),
        ("ScaledSchedule", (0.1, -1.0), ValueError, "`scale`"),
    ],
)
def test_bad_arguments(name, arguments, error, words):
    with pytest.raises(error) as caught:
        getattr(schedules, name)(*arguments)
    assert words in str(caught.value)
