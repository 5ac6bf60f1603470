"""When masks change and how sparse they become."""

import json

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_strategies.compression import (
    ConstantSparsity,
    PolynomialSparsity,
    SparsitySchedule,
)


def turns(schedule, steps):
    return [step for step in range(steps) if bool(schedule.should_prune(step))]


def test_pruning_steps_start_repeat_and_end():
    assert turns(ConstantSparsity(0.5, 3, 11, frequency=4), 30) == [3, 7, 11]
    assert turns(ConstantSparsity(0.5, 3, 12, frequency=4), 30) == [3, 7, 11]
    assert turns(ConstantSparsity(0.5, 5, 5, frequency=4), 30) == [5]
    assert turns(ConstantSparsity(0.5, 20, frequency=4), 30) == [20, 24, 28]
    assert turns(PolynomialSparsity(0, 0.5, 2, 4, frequency=1), 9) == [2, 3, 4]


@settings(max_examples=50, deadline=None)
@given(
    begin=st.integers(0, 1000),
    length=st.integers(1, 1000),
    frequency=st.integers(1, 150),
    step=st.integers(0, 2500),
    initial=st.floats(0, 0.99),
    final=st.floats(0, 0.99),
    power=st.sampled_from([0.5, 1, 2, 3]),
)
def test_polynomial_against_the_formula(
    begin, length, frequency, step, initial, final, power
):
    end = begin + length
    schedule = PolynomialSparsity(initial, final, begin, end, power, frequency)
    progress = min(max((step - begin) / length, 0), 1)
    expected = final + (initial - final) * (1 - progress) ** power
    assert float(schedule(step)) == pytest.approx(expected, abs=2e-4)
    due = begin <= step <= end and (step - begin) % frequency == 0
    assert bool(schedule.should_prune(step)) == due


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ConstantSparsity(1.0, 0), "`target_sparsity` must be in"),
        (lambda: ConstantSparsity(-0.1, 0), "`target_sparsity` must be in"),
        (lambda: ConstantSparsity(0.5, -1), "`begin_step` must be an integer"),
        (lambda: ConstantSparsity(0.5, 5, 4), "`end_step` must be at least"),
        (lambda: ConstantSparsity(0.5, 5, -2), "`end_step` must be an integer"),
        (lambda: ConstantSparsity(0.5, 0, frequency=0), "`frequency` must be"),
        (lambda: PolynomialSparsity(0, 1.0, 0, 10), "`final_sparsity` must be in"),
        (lambda: PolynomialSparsity(80, 0.5, 0, 9), "`initial_sparsity` must be in"),
        (lambda: PolynomialSparsity(0, 0.5, 5, 5), "`end_step` must be greater"),
        (lambda: PolynomialSparsity(0, 0.5, 5, -1), "`end_step` must be greater"),
        (lambda: PolynomialSparsity(0, 0.5, 0, 9, power=0), "`power` must be"),
    ],
)
def test_arguments_out_of_range(make, message):
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "Received: " in str(caught.value)


def test_arguments_of_a_wrong_type():
    with pytest.raises(TypeError, match="`begin_step` must be an integer"):
        ConstantSparsity(0.5, 1.5)
    with pytest.raises(TypeError, match="`target_sparsity` must be a number"):
        ConstantSparsity("0.5", 0)


def test_round_trip_and_repr():
    schedule = PolynomialSparsity(0.1, 0.9, 10, 60, 2, 5)
    text = json.dumps(keras.saving.serialize_keras_object(schedule))
    again = keras.saving.deserialize_keras_object(json.loads(text))
    assert again.get_config() == schedule.get_config()
    assert repr(schedule).startswith("PolynomialSparsity(initial_sparsity=0.1,")


def test_base_class_needs_a_curve():
    with pytest.raises(NotImplementedError, match="must implement `__call__"):
        SparsitySchedule(0)(3)


@pytest.mark.tensorflow
def test_inside_a_compiled_function():
    import tensorflow as tf

    schedule = PolynomialSparsity(0.2, 0.8, 4, 20, frequency=4)

    @tf.function(jit_compile=True)
    def both(step):
        return schedule(step), schedule.should_prune(step)

    for step in (0, 4, 6, 20, 24):
        sparsity, due = both(tf.constant(step, "int64"))
        np.testing.assert_allclose(sparsity, float(schedule(step)), rtol=1e-6)
        assert bool(due) == bool(schedule.should_prune(step))
