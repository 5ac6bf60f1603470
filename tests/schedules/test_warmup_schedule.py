"""WarmupSchedule against its closed form, for every wrapped schedule and step type."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras.optimizers import schedules as keras_schedules

from keras_strategies.schedules import WarmupSchedule


def value(schedule, step):
    return float(keras.ops.convert_to_numpy(schedule(step)))


def reference(inner, step, warmup, initial, shape, shift):
    target = inner(max(step - warmup, 0) if shift else max(step, warmup))
    p = min(step / warmup, 1.0) if warmup else 1.0
    f = p if shape == "linear" else (1 - np.cos(np.pi * p)) / 2
    return (1 - f) * initial + f * target


@settings(deadline=None, max_examples=40)
@given(
    step=st.integers(0, 400),
    warmup=st.integers(0, 150),
    initial=st.floats(0, 1),
    shape=st.sampled_from(["linear", "cosine"]),
    shift=st.booleans(),
)
def test_follows_the_formula(step, warmup, initial, shape, shift):
    inner = keras_schedules.ExponentialDecay(0.5, 100, 0.3)
    schedule = WarmupSchedule(inner, warmup, initial, shape, shift)
    expected = reference(
        lambda s: 0.5 * 0.3 ** (s / 100), step, warmup, initial, shape, shift
    )
    assert value(schedule, step) == pytest.approx(expected, rel=2e-5, abs=1e-7)


def test_constant_rate():
    schedule = WarmupSchedule(0.2, 10)
    got = [value(schedule, step) for step in (0, 1, 5, 10, 11, 10**6)]
    assert got == pytest.approx([0, 0.02, 0.1, 0.2, 0.2, 0.2], rel=1e-6)


def test_end_of_the_warmup_is_exact():
    schedule = WarmupSchedule(0.1, 7, initial_learning_rate=0.3)
    assert value(schedule, 7) == np.float32(0.1)
    assert value(schedule, 0) == np.float32(0.3)


def test_shift_moves_the_boundaries_of_the_wrapped_schedule():
    steps = keras_schedules.PiecewiseConstantDecay([5, 8], [1.0, 0.1, 0.01])
    shifted = WarmupSchedule(steps, 10)
    kept = WarmupSchedule(steps, 10, shift=False)
    assert value(shifted, 15) == pytest.approx(1.0)
    assert value(shifted, 16) == pytest.approx(0.1)
    assert value(shifted, 19) == pytest.approx(0.01)
    assert value(kept, 5) == pytest.approx(0.005)
    assert value(kept, 10) == pytest.approx(0.01)


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_step_types(dtype):
    if dtype == "int64" and keras.backend.backend() == "jax":
        dtype = "uint32"  # JAX has no 64-bit integers unless asked to.
    schedule = WarmupSchedule(keras_schedules.CosineDecay(0.1, 100), 10)
    variable = keras.Variable(60, dtype=dtype, trainable=False)
    assert value(schedule, variable) == pytest.approx(0.05, rel=1e-5)
    assert value(schedule, keras.ops.convert_to_tensor(5, dtype)) == pytest.approx(0.05)
    assert value(schedule, 5) == pytest.approx(0.05)
    zero = keras.Variable(0, dtype=dtype, trainable=False)
    assert value(schedule, zero) == 0.0


def test_counts_past_the_integers_of_float32():
    """The wrapped schedule sees exact integers, however many steps there were."""

    class LastDigit(keras_schedules.LearningRateSchedule):
        def __call__(self, step):
            return keras.ops.cast(step % 10, "float32")

    schedule = WarmupSchedule(LastDigit(), 1)
    step = keras.ops.convert_to_tensor(2**24 + 2, "int32")
    assert value(schedule, step) == (2**24 + 1) % 10


def test_nests_in_itself_and_in_its_config():
    inner = WarmupSchedule(keras_schedules.CosineDecay(0.1, 50), 5)
    outer = WarmupSchedule(inner, 5, shape="cosine", shift=False)
    again = WarmupSchedule.from_config(outer.get_config())
    assert again.get_config() == outer.get_config()
    for step in (0, 3, 5, 8, 10, 40, 100):
        assert value(again, step) == value(outer, step)
    serialized = keras.saving.serialize_keras_object(inner)
    assert WarmupSchedule(serialized, 5).schedule.warmup_steps == 5


def test_float16_floatx_still_counts_steps():
    keras.config.set_floatx("float16")
    try:
        schedule = WarmupSchedule(0.5, 100_000)
        step = keras.ops.convert_to_tensor(50_001, "int32")
        assert value(schedule, step) == pytest.approx(0.250005, rel=1e-6)
    finally:
        keras.config.set_floatx("float32")


@pytest.mark.parametrize("jit_compile", [False, True])
def test_trains_with_the_rates_of_the_formula(jit_compile):
    if keras.backend.backend() == "torch" and jit_compile:
        pytest.skip("Keras leaves torch.compile off by default")
    schedule = WarmupSchedule(0.5, 4, initial_learning_rate=0.1)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    model.layers[0].kernel.assign([[0.0]])
    # The gradient of the mean of the output on inputs of 1 is 1 at every step.
    model.compile(
        keras.optimizers.SGD(schedule),
        loss=lambda y, prediction: prediction,
        jit_compile=jit_compile,
    )
    model.fit(np.ones((6, 1)), np.zeros((6, 1)), batch_size=1, verbose=0)
    expected = -(0.1 + 0.2 + 0.3 + 0.4 + 0.5 + 0.5)
    assert model.get_weights()[0].item() == pytest.approx(expected, rel=1e-5)


def test_survives_saving(tmp_path):
    schedule = WarmupSchedule(keras_schedules.CosineDecay(0.1, 50), 5, 0.01, "cosine")
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(schedule), loss="mse")
    model.fit(np.ones((4, 2)), np.ones((4, 1)), batch_size=1, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    rate = float(keras.ops.convert_to_numpy(loaded.optimizer.learning_rate))
    assert rate == pytest.approx(value(schedule, 4), rel=1e-6)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((lambda: 0.1, 5), TypeError, "`schedule` must be a LearningRateSchedule"),
        ((True, 5), TypeError, "`schedule`"),
        ((-0.1, 5), ValueError, "`schedule` must be at least 0"),
        ((0.1, -1), ValueError, "`warmup_steps` must be an integer at least 0"),
        ((0.1, 2.5), TypeError, "warmup_steps=2.5"),
        ((0.1, 5, -1.0), ValueError, "`initial_learning_rate`"),
        ((0.1, 5, 0.0, "square"), ValueError, "shape='square'"),
        ((0.1, 5, 0.0, "linear", 1), TypeError, "`shift`"),
    ],
)
def test_bad_arguments(arguments, error, words):
    with pytest.raises(error) as caught:
        WarmupSchedule(*arguments)
    assert words in str(caught.value)
