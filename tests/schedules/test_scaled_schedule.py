"""ScaledSchedule: changed during fit without a trace, saved, in any nesting."""

import warnings

import keras
import numpy as np
import pytest

from keras_strategies import schedules
from tests.callbacks.probe import RateProbe
from tests.versions import need_multi_optimizer

TORCH = keras.backend.backend() == "torch"


class Scales(keras.callbacks.Callback):
    """Sets the scale at the begin of each epoch."""

    def __init__(self, schedule, scales):
        super().__init__()
        self.schedule, self.scales = schedule, scales

    def on_epoch_begin(self, epoch, logs=None):
        self.schedule.set_scale(self.scales[epoch])


def descending():
    return keras.optimizers.schedules.PolynomialDecay(0.8, 8, end_learning_rate=0.0)


@pytest.mark.parametrize("jit_compile", [False] if TORCH else [False, True])
def test_changes_between_steps_without_a_new_trace(jit_compile):
    traces = []

    class Counted(schedules.ScaledSchedule):
        def __call__(self, step):
            traces.append(1)
            return super().__call__(step)

    schedule = Counted(descending())
    probe = RateProbe(4, keras.optimizers.SGD(schedule), jit_compile=jit_compile)
    schedule.attach(probe.probed.optimizer)
    rates = probe.fit(Scales(schedule, [1.0, 0.5]), epochs=2)
    expected = [[0.8, 0.7, 0.6, 0.5], [0.2, 0.15, 0.1, 0.05]]
    np.testing.assert_allclose(rates, expected, rtol=1e-5)
    if jit_compile or keras.backend.backend() == "tensorflow":  # else runs eagerly
        before = len(traces)
        probe.fit(Scales(schedule, [0.1]))
        assert len(traces) == before


def optimizers():
    schedule = schedules.ScaledSchedule(0.4)
    yield "plain", schedule, keras.optimizers.SGD(schedule)
    schedule = schedules.ScaledSchedule(0.4)
    inner = keras.optimizers.SGD(schedule)
    yield "loss_scale", schedule, keras.optimizers.LossScaleOptimizer(inner)
    schedule = schedules.ScaledSchedule(0.4)
    joined = schedules.JoinSchedules([schedule, 0.9], boundaries=[100])
    yield "joined", schedule, keras.optimizers.SGD(joined)
    if hasattr(keras.optimizers, "MultiOptimizer"):
        schedule = schedules.ScaledSchedule(0.4)
        parts = keras.optimizers.OptimizerMap(keras.optimizers.SGD(schedule))
        yield "multi", schedule, keras.optimizers.MultiOptimizer(parts)


@pytest.mark.parametrize("kind", ["plain", "loss_scale", "joined", "multi"])
def test_trains_saves_and_loads_in_any_nesting(kind, tmp_path):
    if kind == "multi":
        need_multi_optimizer()
    schedule, optimizer = next(found[1:] for found in optimizers() if found[0] == kind)
    probe = RateProbe(4, optimizer)
    schedule.attach(optimizer)
    rates = probe.fit(Scales(schedule, [1.0, 0.25]), epochs=2)
    np.testing.assert_allclose(rates, [[0.4] * 4, [0.1] * 4], rtol=1e-5)
    model = probe.probed
    model.compile(optimizer, loss="mse")  # a loss that can be saved
    model.save(tmp_path / "model.keras")
    with warnings.catch_warnings():  # of variables that do not fit
        warnings.simplefilter("error")
        loaded = keras.models.load_model(tmp_path / "model.keras", compile=True)
    _assert_same_state(loaded.optimizer, optimizer, schedule)


def _assert_same_state(loaded, optimizer, schedule):
    own = [v for v in optimizer.variables if v is not schedule.scale]
    assert len(loaded.variables) == len(own)
    for got, expected in zip(loaded.variables, own, strict=True):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(got), keras.ops.convert_to_numpy(expected)
        )
    config = keras.saving.serialize_keras_object(loaded)
    assert '"scale": 0.25' in str(config).replace("'", '"')


def test_goes_on_after_loading(tmp_path):
    schedule = schedules.ScaledSchedule(descending())
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(schedule), loss="mse")
    schedule.attach(model.optimizer)
    x, y = np.ones((4, 2)), np.ones((4, 1))
    model.fit(x, y, batch_size=1, callbacks=[Scales(schedule, [0.5])], verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    again = loaded.optimizer.get_config()["learning_rate"]["config"]
    assert again["scale"] == 0.5
    held = loaded.optimizer.learning_rate
    assert float(keras.ops.convert_to_numpy(held)) == pytest.approx(0.2)
    for each in (model, loaded):
        each.fit(x, y, batch_size=1, verbose=0)
    for one, other in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_attach_and_detach_leave_the_optimizer_as_it_was():
    schedule = schedules.ScaledSchedule(0.1)
    optimizer = keras.optimizers.Adam(schedule)
    before = list(optimizer.variables)
    assert schedule.attach(optimizer) is schedule
    schedule.attach(optimizer)
    assert len(optimizer.variables) == len(before) + 1
    schedule.detach()
    schedule.detach()
    assert [id(v) for v in optimizer.variables] == [id(v) for v in before]


def test_errors_say_what_to_do():
    schedule = schedules.ScaledSchedule(0.1)
    with pytest.raises(ValueError, match="`attach` must be called before"):
        schedule.set_scale(0.5)
    with pytest.raises(ValueError, match="must follow this ScaledSchedule"):
        schedule.attach(keras.optimizers.SGD(0.1))
    schedule.attach(keras.optimizers.SGD(schedule))
    for bad in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="`value`"):
            schedule.set_scale(bad)
    with pytest.raises(TypeError, match="`value`"):
        schedule.set_scale("half")
    assert float(keras.ops.convert_to_numpy(schedule.scale)) == 1.0
