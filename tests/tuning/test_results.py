"""Results of a search: report, table, data frame."""

import gc
import json

import keras_tuner
import numpy as np
import pandas
import pytest
from matplotlib.figure import Figure

from keras_strategies import tuning
from keras_strategies.tuning import _space
from tests.tuning import numbers


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    gc.freeze()  # before the fixture of each test does it
    return numbers.search(tmp_path_factory.mktemp("found"), pruner="median")


def test_table_has_each_trial_with_its_values_and_metrics(found):
    frame = tuning.results_dataframe(found)
    assert list(frame.index) == found.oracle.start_order
    assert {"COMPLETED", "PRUNED", "FAILED"} == set(frame["status"])
    for trial_id, row in frame.iterrows():
        values = found.oracle.trials[trial_id].hyperparameters.values
        assert row["value/x"] == values["x"]
        assert np.isnan(row["value/rate"]) == (values["layers"] == 2)
        failed = row["status"] == "FAILED"
        assert failed == (values["x"] > 3)
        assert ("too far" in str(row["message"])) == failed
        assert np.isnan(row["score"]) == failed
        if row["status"] == "COMPLETED":
            made = numbers.outcome(**values)
            assert row["metric/size"] == made["size"]
            assert row["score"] == row["metric/val_loss"]
            assert row["score"] == pytest.approx(made["val_loss"])
    assert frame["score"].dtype == frame["seconds"].dtype == float
    assert frame["best_epoch"].dtype == "Int64"
    order = [key for key in frame.columns if key.startswith("value/")]
    assert order == [f"value/{hp.name}" for hp in numbers.space().space]


def test_table_of_a_folder_without_searching(found):
    again = numbers.Numbers(
        None,
        "val_loss",
        max_trials=24,
        algorithm="random",
        hyperparameters=numbers.space(),
        directory=found.directory,
    )
    pandas.testing.assert_frame_equal(
        tuning.results_dataframe(again), tuning.results_dataframe(found)
    )


def test_table_of_a_tuner_of_kerastuner(tmp_path):
    made = numbers.search(tmp_path, cls=numbers.Stock, max_trials=4)
    for tuner in (made, made.oracle):
        frame = tuning.results_dataframe(tuner)
        assert list(frame["status"]) == ["COMPLETED"] * 4
        np.testing.assert_allclose(
            frame["score"],
            [
                numbers.outcome(x, optimizer)["val_loss"]
                for x, optimizer in zip(
                    frame["value/x"], frame["value/optimizer"], strict=True
                )
            ],
        )
        assert frame["seconds"].isna().all()


def test_table_of_nothing(tmp_path):
    tuner = tuning.Tuner(None, max_trials=2, hyperparameters=numbers.space(),
                         algorithm="random", directory=tmp_path)  # fmt: skip
    assert len(tuning.results_dataframe(tuner)) == 0
    with pytest.raises(TypeError, match="`tuner` must be a"):
        tuning.results_dataframe(tuner.results())


def test_values_that_kerastuner_cannot_hold(tmp_path):
    class Sizes(tuning.Tuner):
        def run_trial(self, trial, *args, **kwargs):
            return float(len(trial.hyperparameters.get("sizes") or ()))

    hp = _space.Space()
    hp.Choice("sizes", [None, (3,), (3, 5)])
    made = Sizes(hyperparameters=hp, algorithm="grid", directory=tmp_path)
    made.search(verbose=0)
    frame = tuning.results_dataframe(made)
    assert set(frame["value/sizes"]) == {None, (3,), (3, 5)}


def test_front_of_several_objectives(tmp_path):
    made = numbers.search(tmp_path, numbers.TWO)
    rows = [r for r in made.results() if r["status"] == "COMPLETED"]
    front = {trial.trial_id for trial in made.pareto_front()}
    for row in rows:
        beaten = any(
            other["metric/val_loss"] <= row["metric/val_loss"]
            and other["metric/size"] >= row["metric/size"]
            and other is not row
            for other in rows
        )
        assert (row["trial"] in front) != beaten
    assert isinstance(made.pareto_front()[0], keras_tuner.engine.trial.Trial)


def test_report_is_a_sequence_of_rows(found):
    report = found.results()
    assert isinstance(report, tuning.SearchReport)
    assert len(report) == 24 and list(report) == report.rows == report[:]
    assert report[0]["trial"] == found.oracle.start_order[0]
    assert report == tuning.SearchReport(found.oracle) and report == report.rows
    assert report != report[1:]
    assert report.objectives == {"val_loss": "min"}
    assert report.algorithm == "random"
    assert sum(report.statuses.values()) == 24 and "pruned" in report.statuses
    scores = [row["score"] for row in report if row["score"] is not None]
    assert [row["score"] for row in report.best] == [min(scores)]


def test_report_as_text_and_html(found):
    report = found.results()
    lines = str(report).splitlines()
    assert lines[0].split() == [
        "trial", "status", "val_loss", "epoch", "time",
        "x", "layers", "rate", "optimizer", "flag",
    ]  # fmt: skip
    assert lines[2].split()[0] == report.best[0]["trial"]
    assert len(lines) == 2 + 24 + 1 + 1 + len(report.warnings)
    assert "random search, 24 trials: " in str(report)
    assert any("trials failed" in line for line in report.warnings)
    assert f"<td>{report.best[0]['trial']}</td>" in report._repr_html_()


def test_report_as_files(found, tmp_path):
    report = found.results()
    path = report.save_report(tmp_path / "search.json")
    stored = json.loads((tmp_path / "search.json").read_text())
    assert path == str(tmp_path / "search.json")
    assert stored["algorithm"] == "random" and len(stored["rows"]) == 24
    assert stored["trials"] == report.statuses
    assert stored["rows"][0]["value/x"] == report[0]["value/x"]
    assert tuning.save_report(found, tmp_path / "again.json").endswith("again.json")
    assert (tmp_path / "again.json").read_text() == (
        tmp_path / "search.json"
    ).read_text()


def test_report_draws_its_history(found):
    ax = Figure().subplots()
    assert found.results().plot(ax=ax) is ax
    assert ax.get_ylabel() == "val_loss"


def test_report_of_an_empty_search(tmp_path):
    tuner = tuning.Tuner(None, max_trials=2, hyperparameters=numbers.space(),
                         algorithm="random", directory=tmp_path)  # fmt: skip
    report = tuner.results()
    assert report == [] and report.best == [] and report.warnings == []
    assert "0 trials: none yet" in str(report)


def test_importance_report(found):
    importance = tuning.hyperparameter_importance(found)
    assert isinstance(importance, tuning.ImportanceReport)
    assert importance == dict(importance) and "x" in importance
    assert list(importance.values()) == sorted(importance.values(), reverse=True)
    assert (importance.objective, importance.evaluator) == ("val_loss", "fanova")
    heading, _, first, *_ = str(importance).splitlines()
    assert heading.split() == ["hyperparameter", "importance"]
    assert first.split() == ["x", f"{importance['x']:.1%}"]
    frame = importance.to_dataframe()
    assert list(frame["hyperparameter"]) == list(importance)
    assert (
        importance.to_dict()["trials"]
        == importance.trials
        == sum(
            row["metric/val_loss"] is not None
            for row in found.results()
            if "metric/val_loss" in row
        )
    )
    ax = Figure().subplots()
    importance.plot(ax=ax)
    assert [bar.get_width() for bar in ax.patches] == [*importance.values()][::-1]
