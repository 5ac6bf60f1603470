"""Pictures of a search, read back from what was drawn."""

import gc
import sys

import keras_tuner
import numpy as np
import pytest
from matplotlib.figure import Figure

from keras_strategies import tuning
from keras_strategies.tuning import _space
from keras_strategies.tuning.reports import _hyperparameter_axes, _records
from tests.tuning import numbers


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    gc.freeze()
    return numbers.search(tmp_path_factory.mktemp("found"), pruner="median")


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    gc.freeze()
    return numbers.search(tmp_path_factory.mktemp("two"), numbers.TWO)


@pytest.fixture(scope="module")
def stock(tmp_path_factory):
    gc.freeze()
    return numbers.search(tmp_path_factory.mktemp("stock"), cls=numbers.Stock)


@pytest.fixture
def ax():
    return Figure().subplots()


def of(tuner, *states):
    return [row for row in tuner.results() if row["status"] in states]


def points(ax):
    return {c.get_label(): c.get_offsets().tolist() for c in ax.collections}


def test_history(found, ax):
    assert tuning.plot_history(found, ax=ax) is ax
    drawn = points(ax)
    rows = found.results()
    for status, label in (("COMPLETED", "completed"), ("PRUNED", "pruned")):
        expected = [
            [k + 1, row["score"]]
            for k, row in enumerate(rows)
            if row["status"] == status
        ]
        np.testing.assert_allclose(drawn[label], expected)
    assert len(drawn["failed"]) == len(of(found, "FAILED")) > 0
    (best,) = (line for line in ax.lines if line.get_label() == "best")
    scores = [row["score"] for row in of(found, "COMPLETED", "PRUNED")]
    np.testing.assert_allclose(best.get_ydata(), np.minimum.accumulate(scores))


def test_history_of_something_to_maximize(two, ax):
    tuning.plot_history(two, objective="size", ax=ax)
    assert ax.get_ylabel() == "size"
    sizes = [row["metric/size"] for row in of(two, "COMPLETED")]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), np.maximum.accumulate(sizes))


def test_intermediate_values(found, stock, ax):
    tuning.plot_intermediate_values(found, ax=ax)
    curves = [line.get_ydata() for line in ax.lines if len(line.get_xdata()) == 4]
    assert len(curves) == len(of(found, "COMPLETED"))
    for curve in curves:
        np.testing.assert_allclose(np.diff(curve), -1)
    (best,) = (line for line in ax.lines if line.get_label() == "best trial")
    assert best.get_ydata()[-1] == min(row["score"] for row in of(found, "COMPLETED"))
    with pytest.raises(ValueError, match="after each epoch"):
        tuning.plot_intermediate_values(stock, ax=ax)


def test_parallel_coordinates(found, ax):
    tuning.plot_parallel_coordinates(found, ax=ax)
    rows = of(found, "COMPLETED", "PRUNED")
    lines = [line for line in ax.lines if len(line.get_xdata()) == 6]
    assert len(lines) == len(rows)
    best = min(rows, key=lambda row: row["score"])
    heights = lines[-1].get_ydata()
    assert heights[0] == pytest.approx((best["value/x"] + 4) / 8)
    assert heights[1] == best["value/layers"] - 2
    assert heights[3] == (best["value/optimizer"] == "sgd")
    assert heights[-1] == 1
    assert min(lines[0].get_ydata()[-1:]) == 0
    inactive = sum(row["value/layers"] == 2 for row in rows)
    assert sum(line.get_ydata()[2] < 0 for line in lines) == inactive
    assert [t.get_text() for t in ax.get_yticklabels()] == ["not active"]
    names = [t.get_text() for t in ax.get_xticklabels()]
    assert names == ["x", "layers", "rate", "optimizer", "flag", "val_loss"]


def test_slices(found):
    figure = Figure(layout="constrained")
    left, right = figure.subplots(1, 2)
    assert tuning.plot_slices(found, ax=left) is left
    assert not left.axison and right.axison
    axes = {ax.get_xlabel(): ax for ax in figure.axes if ax.get_xlabel()}
    figure.draw_without_rendering()
    for ax in axes.values():  # all of it in the area of the given axes
        assert ax.get_position().x1 <= right.get_position().x0
    assert set(axes) == {"x", "layers", "rate", "optimizer", "flag"}
    rows = of(found, "COMPLETED", "PRUNED")
    drawn = sorted(axes["x"].collections[0].get_offsets().tolist())
    assert drawn == sorted([row["value/x"], row["score"]] for row in rows)
    assert axes["rate"].get_xscale() == "log"
    active = [row for row in rows if "value/rate" in row]
    assert len(axes["rate"].collections[0].get_offsets()) == len(active)
    labels = [t.get_text() for t in axes["optimizer"].get_xticklabels()]
    assert labels == ["adam", "sgd"]
    only = tuning.plot_slices(found, names=["x"], ax=Figure().subplots())
    assert sum(bool(ax.get_xlabel()) for ax in only.figure.axes) == 1
    with pytest.raises(ValueError, match="`ax` must be a subplot"):
        tuning.plot_slices(found, ax=Figure().add_axes((0, 0, 1, 1)))


def test_pareto_front(two, ax):
    tuning.plot_pareto_front(two, ax=ax)
    drawn = points(ax)
    front = [two.oracle.trials[t.trial_id] for t in two.pareto_front()]
    expected = [
        [_records.best_metric(t, n) for n in ("val_loss", "size")] for t in front
    ]
    assert sorted(drawn["Pareto front"]) == sorted(expected)
    assert len(drawn["Pareto front"]) + len(drawn["dominated"]) == len(
        of(two, "COMPLETED")
    )


def test_front_of_metrics_that_are_no_objectives(stock, ax):
    with pytest.raises(ValueError, match="two objectives"):
        tuning.plot_pareto_front(stock, ax=ax)
    tuning.plot_pareto_front(stock, objectives=("size", "val_loss"), ax=ax)
    # Without a direction of its own `size` is minimized, as KerasTuner has it.
    rows = _records.trial_rows(stock.oracle)
    best = min(row["metric/size"] for row in rows)
    assert best in [x for x, _ in points(ax)["Pareto front"]]


def test_importance_of_a_sum_is_its_variances(tmp_path, ax):
    class Sum(tuning.Tuner):
        def run_trial(self, trial, **kwargs):
            hp = trial.hyperparameters
            return 2 * hp.get("a") + np.log10(hp.get("b")) + 0 * hp.get("c")

    hp = keras_tuner.HyperParameters()
    hp.Float("a", -1, 1)
    hp.Float("b", 0.1, 10, sampling="log")
    hp.Int("c", 1, 9)
    made = Sum(hyperparameters=hp, max_trials=80, algorithm="random", seed=2,
               directory=tmp_path)  # fmt: skip
    made.search(verbose=0)
    shares = tuning.hyperparameter_importance(made)
    assert list(shares) == ["a", "b", "c"]
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["a"] == pytest.approx(0.8, abs=0.08)
    assert shares["b"] == pytest.approx(0.2, abs=0.08)
    assert shares == tuning.hyperparameter_importance(made)
    other = tuning.hyperparameter_importance(made, evaluator="ped_anova")
    assert list(other)[0] == "a" and sum(other.values()) == pytest.approx(1)
    tuning.plot_importance(made, ax=ax)
    np.testing.assert_allclose(
        [bar.get_width() for bar in ax.patches], list(shares.values())[::-1]
    )


def test_importance_takes_conditional_ones_and_other_tuners(found, stock):
    for tuner in (found, stock):
        shares = tuning.hyperparameter_importance(tuner)
        assert set(shares) == {hp.name for hp in numbers.space().space}
        assert list(shares)[0] == "x"


def test_bad_use_is_one_clear_error(found, tmp_path, ax, monkeypatch):
    new = tuning.Tuner(None, max_trials=3, hyperparameters=numbers.space(),
                       algorithm="random", directory=tmp_path)  # fmt: skip
    for draw in (tuning.plot_history, tuning.plot_parallel_coordinates):
        with pytest.raises(ValueError, match="must have a completed trial"):
            draw(new, ax=ax)
    with pytest.raises(ValueError, match="`objective` must be one of"):
        tuning.plot_history(found, objective="val_acuracy", ax=ax)
    with pytest.raises(ValueError, match="`names` must be one of"):
        tuning.plot_slices(found, names=["units"])
    with pytest.raises(ValueError, match="`evaluator`"):
        tuning.plot_importance(found, evaluator="anova", ax=ax)
    few = numbers.search(tmp_path / "few", cls=numbers.Stock, max_trials=3)
    with pytest.raises(ValueError, match="at least 4 completed trials"):
        tuning.hyperparameter_importance(few)
    assert not ax.lines
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"keras-strategies\[plots\]"):
        tuning.plot_history(found)


def test_axes_of_values_of_several_kinds():
    hp = _space.Space()
    hp.Choice("mixed", [True, 1, None, (3, 5)])
    hp.Choice("sizes", [64, 16, 32])
    hp.Int("units", 8, 128, sampling="log")
    hp.Fixed("fixed", 3)

    class Oracle:
        hyperparameters = hp

    rows = [{"value/mixed": (3, 5), "value/sizes": 16, "value/units": 32,
             "value/fixed": 3, "value/tuner/epochs": 2}]  # fmt: skip
    mixed, sizes, units = _hyperparameter_axes.hyperparameter_axes(Oracle, rows)
    assert [text for _, text in mixed.ticks()] == ["True", "1", "None", "(3, 5)"]
    assert [mixed.position(v) for v in (True, 1, None, (3, 5))] == [0, 1, 2, 3]
    assert sizes.values == [16, 32, 64] and sizes.fraction(32) == 0.5
    assert units.log and units.fraction(32) == pytest.approx(0.5)
    assert [text for _, text in units.ticks()] == ["8", "32", "128"]
    wide = _hyperparameter_axes.NumericAxis("units", 64, 1024, log=False, default=64)
    assert [text for _, text in wide.ticks()] == ["64", "544", "1024"]
