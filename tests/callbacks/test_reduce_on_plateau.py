"""ReduceOnPlateau: Keras's own tests, nested optimizers, schedules, warm-up."""

import keras
import numpy as np
import pytest

from keras_strategies.callbacks import ReduceOnPlateau
from keras_strategies.schedules import ScaledSchedule
from tests.callbacks.keras_suites import run_keras_suite
from tests.callbacks.probe import RateProbe
from tests.markers import compile_modes
from tests.versions import need_multi_optimizer


@pytest.mark.slow
def test_passes_the_tests_of_keras(monkeypatch):
    ran = run_keras_suite(
        monkeypatch, "reduce_lr_on_plateau_test", "ReduceLROnPlateau", ReduceOnPlateau
    )
    assert ran >= 5


class Script(keras.callbacks.Callback):
    """Puts given values of a metric into the logs, ahead of other callbacks."""

    def __init__(self, values):
        super().__init__()
        self.values = values

    def on_epoch_end(self, epoch, logs=None):
        logs["score"] = self.values[epoch]


def rates(probe, values, **arguments):
    plateau = ReduceOnPlateau("score", mode="max", **arguments)
    script = Script(values)
    return probe.fit(script, plateau, epochs=len(values))[:, -1]


@pytest.mark.parametrize("arguments", compile_modes(), ids=str)
def test_scales_a_schedule_without_a_new_trace(arguments):
    schedule = keras.optimizers.schedules.PolynomialDecay(1.0, 40, 0.5)
    plain = RateProbe(optimizer=keras.optimizers.SGD(schedule), **arguments)
    expected = plain.fit(epochs=5)
    scaled = keras.optimizers.SGD(ScaledSchedule(schedule))
    probe = RateProbe(optimizer=scaled, **arguments)
    plateau = ReduceOnPlateau("score", 0.5, patience=2, mode="max")
    found = probe.fit(Script([1, 0, 0, 0, 0]), plateau, epochs=5)
    factor = np.array([1, 1, 1, 0.5, 0.5])[:, None]
    np.testing.assert_allclose(found, expected * factor, rtol=1e-5)
    np.testing.assert_allclose(
        probe.history["learning_rate"][3], 0.5 * schedule(16), rtol=1e-5
    )


@pytest.mark.parametrize("schedule", [False, True])
def test_reaches_through_a_loss_scale(schedule):
    rate = ScaledSchedule(0.1) if schedule else 0.1
    inner = keras.optimizers.SGD(rate)
    optimizer = keras.optimizers.LossScaleOptimizer(inner, initial_scale=8.0)
    probe = RateProbe(optimizer=optimizer)
    found = rates(probe, [1, 0, 0], factor=0.5, patience=1)
    np.testing.assert_allclose(found, [0.1, 0.1, 0.05], rtol=1e-4)


def test_reaches_every_optimizer_of_several():
    need_multi_optimizer()
    one, two = keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.4)
    multi = keras.optimizers.OptimizerMap(one)
    multi["other.*"] = two
    probe = RateProbe(optimizer=keras.optimizers.MultiOptimizer(multi))
    rates(probe, [1, 0, 0], factor=0.5, patience=1, min_lr=0.15)
    assert float(one.learning_rate) == pytest.approx(0.1)  # below min_lr: left alone
    assert float(two.learning_rate) == pytest.approx(0.15)
    logged = [name for name in probe.history if name.startswith("learning_rate")]
    assert sorted(logged) == sorted(f"learning_rate_{leaf.name}" for leaf in (one, two))


def test_warm_up_then_plateau_then_cooldown():
    probe = RateProbe(optimizer=keras.optimizers.SGD(0.3))
    found = rates(
        probe,
        [9, 9, 1, 1, 1, 1, 1, 1],
        factor=0.1,
        patience=1,
        cooldown=2,
        start_from_epoch=2,
    )
    expected = [0.1, 0.2, 0.3, 0.3, 0.03, 0.03, 0.003, 0.003]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_state_goes_on():
    whole = RateProbe()
    expected = rates(whole, [1, 0, 0, 0, 0, 0], factor=0.5, patience=2)
    probe = RateProbe()
    first = ReduceOnPlateau("score", 0.5, patience=2, mode="max")
    begin = probe.fit(Script([1, 0]), first, epochs=2)
    second = ReduceOnPlateau("score", 0.5, patience=2, mode="max")
    second.set_state(first.get_state())
    script = Script([1, 0, 0, 0, 0, 0])
    end = probe.fit(script, second, epochs=6, initial_epoch=2)
    np.testing.assert_allclose(np.concatenate([begin, end])[:, -1], expected)


def test_refuses_a_plain_schedule_and_says_how():
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
    probe = RateProbe(optimizer=keras.optimizers.SGD(schedule))
    before = probe.weights()
    with pytest.raises(TypeError, match=r"schedules.ScaledSchedule\(schedule\)"):
        probe.fit(ReduceOnPlateau("loss"))
    np.testing.assert_array_equal(probe.weights(), before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"factor": 1.0}, r"`factor` must be in \(0, 1\)"),
        ({"factor": 0.0}, "`factor`"),
        ({"patience": -1}, "`patience`"),
        ({"cooldown": -1}, "`cooldown`"),
        ({"min_lr": -0.1}, "`min_lr`"),
        ({"start_from_epoch": -1}, "`start_from_epoch`"),
        ({"mode": "low"}, "`mode`"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        ReduceOnPlateau(**arguments)


def test_unknown_monitor_names_the_metrics():
    with pytest.raises(ValueError, match="metric of this training: loss"):
        RateProbe().fit(ReduceOnPlateau("val_accuracy"))
