"""EarlyStopping: Keras's own tests, and each rule that Keras's lacks."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_strategies import callbacks
from keras_strategies.callbacks import EarlyStopping
from keras_strategies.callbacks.stopping import _prechelt
from tests.callbacks.keras_suites import run_keras_suite
from tests.callbacks.scripted import ScriptedModel, line_model, run, weight

pytestmark = pytest.mark.filterwarnings(
    # Keras's tests compute F1 of one class and floats of arrays.
    "ignore:Conversion of an array with ndim:DeprecationWarning"
)
CURVE = [5.0, 4.0, 3.0, 3.1, 3.2, 3.3, 3.4, 3.5]


@pytest.mark.slow
def test_passes_the_tests_of_keras(monkeypatch):
    ran = run_keras_suite(
        monkeypatch, "early_stopping_test", "EarlyStopping", EarlyStopping
    )
    assert ran >= 6
    assert issubclass(EarlyStopping, keras.callbacks.EarlyStopping)


@settings(deadline=None)
@given(
    # Keras compares in float32, ours in float64: values that are exact in both.
    st.lists(st.integers(0, 64).map(lambda n: n / 64), min_size=1, max_size=12),
    st.integers(0, 4),
    st.integers(0, 3),
    st.sampled_from(["min", "max"]),
    st.sampled_from([None, 0.5]),
    st.sampled_from([0, 0.1]),
)
def test_stops_where_keras_stops(values, patience, start, mode, baseline, min_delta):
    arguments = {
        "patience": patience,
        "start_from_epoch": start,
        "mode": mode,
        "baseline": baseline,
        "min_delta": min_delta,
        "restore_best_weights": True,
    }
    ours, theirs = ScriptedModel(), ScriptedModel()
    stopper = EarlyStopping(**arguments)
    expected = keras.callbacks.EarlyStopping(**arguments)
    assert run(stopper, values, ours) == run(expected, values, theirs)
    assert ours.epoch == theirs.epoch
    for name in ("best", "best_epoch", "wait", "stopped_epoch"):
        assert getattr(stopper, name) == getattr(expected, name), name


def loss_without_direction(y_true, y_pred):
    """The name of Keras's losses ends alike, but a user may mean anything by it."""
    return keras.ops.mean(y_pred)


@pytest.mark.parametrize(
    "make",
    [
        lambda **mode: EarlyStopping("undirected", **mode),
        lambda **mode: callbacks.BestWeights("undirected", **mode),
        lambda **mode: callbacks.ReduceOnPlateau("undirected", **mode),
        lambda **mode: callbacks.TargetStopping(-1.0, "undirected", **mode),
    ],
    ids=["EarlyStopping", "BestWeights", "ReduceOnPlateau", "TargetStopping"],
)
def test_a_metric_without_direction_is_refused_as_by_keras(make):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    metric = keras.metrics.MeanMetricWrapper(loss_without_direction, name="undirected")
    model.compile("sgd", loss="mse", metrics=[metric])
    x, y = np.ones((4, 2), "float32"), np.ones((4, 1), "float32")
    with pytest.raises(ValueError, match="whether less or more of `undirected`"):
        model.fit(x, y, callbacks=[make()], verbose=0)
    with pytest.raises(ValueError, match="undirected"):  # Keras's own rule
        model.fit(
            x, y, callbacks=[keras.callbacks.EarlyStopping("undirected")], verbose=0
        )
    for mode in ("min", "max"):
        model.fit(x, y, callbacks=[make(mode=mode)], verbose=0)


def test_several_metrics_all_or_any():
    logs = {
        "val_loss": [5, 4, 3, 3, 3, 3, 3, 3],
        "val_accuracy": [0.1, 0.2, 0.3, 0.4, 0.5, 0.5, 0.5, 0.5],
    }
    names, modes = list(logs), ["min", "max"]
    model = ScriptedModel()
    stopper = EarlyStopping(names, patience=2, mode=modes, restore_best_weights=True)
    assert run(stopper, logs, model) == 7
    assert model.epoch == 2  # by the first metric
    stopper = EarlyStopping(names, patience=2, mode=modes, stop_when="any")
    assert run(stopper, logs) == 5


def test_min_epochs_are_watched_but_not_ended():
    assert run(EarlyStopping(patience=2), CURVE) == 5
    assert run(EarlyStopping(patience=2, min_epochs=7), CURVE) == 7
    assert run(EarlyStopping(patience=2, min_epochs=3), CURVE) == 5


@pytest.mark.parametrize(("sign", "mode"), [(1, "min"), (-1, "max")])
def test_overfit_gap_needs_patience_in_a_row(sign, mode):
    logs = {
        "x": [sign * v for v in [1.0, 0.8, 0.6, 0.4, 0.3, 0.2, 0.1]],
        "val_x": [sign * v for v in [1.0, 1.0, 0.6, 0.8, 0.8, 0.7, 0.6]],
    }
    arguments = {"monitor": "val_x", "mode": mode, "min_epochs": 0}
    stopper = EarlyStopping(patience=3, overfit_gap=0.35, **arguments)
    assert run(stopper, logs) == 6  # gaps 0, .2, 0, .4, .5, .5: three in a row
    stopper = EarlyStopping(patience=50, overfit_gap=0.6, **arguments)
    assert run(stopper, logs) == 7


def test_generalization_loss_stops_at_its_threshold():
    # 3 -> 3.1 is 3.33 %, 3.2 is 6.67 %
    assert run(EarlyStopping(criterion="gl"), CURVE) == 5
    assert run(EarlyStopping(criterion="gl", threshold=3.0), CURVE) == 4
    assert run(EarlyStopping(criterion="gl", threshold=99.0), CURVE) == 8


def test_progress_quotient_by_hand():
    training = [4.0, 3.0, 2.0, 1.5]
    validation = [4.0, 3.0, 3.3, 3.6]
    # strip of 2: P = 1000 * ((2 + 1.5) / 2 / 1.5 - 1), GL = 20
    expected = 20.0 / (1000 * (1.75 / 1.5 - 1))
    found = _prechelt.progress_quotient(validation, training, 2)
    assert found == pytest.approx(expected)
    logs = {"loss": training, "val_loss": validation}
    for factor, epochs in ((0.99, 4), (1.01, 4)):
        stopper = EarlyStopping(criterion="pq", threshold=expected * factor, strip=2)
        assert run(stopper, logs) == epochs
        assert stopper.stopped_epoch == (3 if factor < 1 else 0)


def test_successive_rises_count_strip_ends():
    ends = [5.0, 4.0, 4.1, 4.2, 4.3]
    errors = [value for end in ends for value in (9.0, end)]
    assert _prechelt.successive_rises(errors, 2) == 3
    assert _prechelt.successive_rises(errors[:-2], 2) == 2
    assert _prechelt.successive_rises([1.0, 2.0], 2) == 0
    stopper = EarlyStopping(criterion="up", threshold=2, strip=2)
    assert run(stopper, errors) == 8


def test_prechelt_refuses_negative_errors_and_high_metrics():
    with pytest.raises(ValueError, match="at least 0"):
        run(EarlyStopping(criterion="gl"), [1.0, -1.0])
    logs = {"val_score_loss": [1.0, 2.0]}
    run(EarlyStopping("val_score_loss", criterion="gl"), logs)
    assert _prechelt.generalization_loss([0.0, 0.0]) == 0
    assert _prechelt.generalization_loss([0.0, 0.1]) == float("inf")
    assert _prechelt.training_progress([0.0, 0.0], 2) == 0


def test_nan_is_no_improvement():
    stopper = EarlyStopping(patience=2)
    assert run(stopper, [1.0, float("nan"), float("nan"), 0.5]) == 3
    stopper = EarlyStopping(patience=2)
    assert run(stopper, [float("nan"), 1.0, 0.9, 0.8]) == 4


def test_restores_weights_and_optimizer_together():
    model = line_model(optimizer=keras.optimizers.Adam(0.1))
    x = np.ones((8, 1))
    seen = {}

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["val_loss"] = [3.0, 1.0, 2.0, 2.0, 2.0][epoch]
            variables = self.model.weights + self.model.optimizer.variables
            values = [np.array(keras.ops.convert_to_numpy(v)) for v in variables]
            seen[epoch] = values

    stopper = EarlyStopping(
        patience=2, mode="min", restore_best_weights=True, restore_optimizer=True
    )
    model.fit(x, x, batch_size=4, epochs=5, callbacks=[Watch(), stopper], verbose=0)
    assert stopper.stopped_epoch == 3
    variables = model.weights + model.optimizer.variables
    for variable, expected in zip(variables, seen[1], strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), expected)
    assert int(model.optimizer.iterations) == 4

    stopper = EarlyStopping("loss", patience=9, restore_best_weights=True)
    model.fit(x, x, batch_size=4, epochs=2, callbacks=[stopper], verbose=0)
    assert int(model.optimizer.iterations) == 8  # not rolled back
    assert weight(model) < 0


def test_state_goes_on_where_a_new_fit_would_forget():
    first = EarlyStopping(patience=3, restore_best_weights=True)
    run(first, CURVE[:5])
    assert first.wait == 2
    second = EarlyStopping(patience=3, restore_best_weights=True)
    second.set_state(first.get_state())
    model = ScriptedModel()
    model.built = False
    assert run(second, CURVE[5:], model, first_epoch=5) == 1
    assert second.best_epoch == 2 and model.epoch == 2
    run(second, CURVE[:2])
    assert second.best == 4.0  # a later fit starts anew


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"patience": -1}, "`patience` must be an integer at least 0"),
        ({"mode": "up"}, "`mode` must be one of"),
        ({"monitor": []}, "at least one name"),
        ({"monitor": ["a", "b"], "mode": ["min"]}, "one value for each"),
        ({"restore_optimizer": True}, "restore_best_weights=True"),
        ({"overfit_gap": 0.1, "monitor": "loss"}, "begin with 'val_'"),
        ({"criterion": "pq", "monitor": "loss"}, "begin with 'val_'"),
        ({"criterion": "gl", "patience": 3}, "replaces `patience`"),
        ({"criterion": "gl", "mode": "max"}, "one metric to minimize"),
        ({"criterion": "gl", "monitor": ["a", "b"]}, "one metric"),
        ({"threshold": 3.0}, "belongs to criterion"),
        ({"criterion": "gl", "threshold": 0.0}, "greater than 0"),
        ({"criterion": "up", "strip": 0}, "at least 1"),
        ({"stop_when": "some"}, "'all', 'any'"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        EarlyStopping(**arguments)


def test_unknown_monitor_names_the_metrics_and_changes_nothing():
    with pytest.raises(ValueError, match=r"loss, val_loss.*monitor='val_acc'"):
        run(
            EarlyStopping("val_acc", mode="max"),
            {"loss": [1.0], "val_loss": [1.0]},
        )
    with pytest.raises(ValueError, match="Give `mode`"):
        run(EarlyStopping("cost"), {"cost": [1.0]})
    with pytest.raises(ValueError, match="one value"):
        run(EarlyStopping("loss"), {"loss": [[1.0, 2.0]]})


def test_waits_for_validation_that_comes_later():
    stopper = EarlyStopping(patience=1)
    model = ScriptedModel()
    stopper.set_model(model)
    stopper.on_train_begin()
    with pytest.warns(UserWarning, match="waits for `val_loss`"):
        stopper.on_epoch_end(0, {"loss": 1.0})
    stopper.on_epoch_end(1, {"loss": 1.0})  # once is enough
    stopper.on_epoch_end(2, {"loss": 1.0, "val_loss": 2.0})
    assert stopper.best == 2.0
