"""`keras-strategies tune`: the search, its files, bad use, exit codes."""

import csv
import gc
import json
import textwrap

import keras
import numpy as np
import pytest

from keras_strategies.cli import main as cli

pytestmark = pytest.mark.tensorflow  # the command is the same on every backend

MODULE = """
    import keras
    import keras_tuner

    CONSTANT = 3

    def build(hp):
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        rate = hp.Float("rate", 1e-3, 0.5, sampling="log")
        model.compile(
            keras.optimizers.SGD(rate), "mse", metrics=["mae"], run_eagerly=True
        )
        return model

    class Hyper(keras_tuner.HyperModel):
        def build(self, hp):
            hp.Fixed("epochs", 3)
            return build(hp)

    hyper = Hyper()

    def broken(hp):
        hp.Float("rate", 0, 1)
        if not hasattr(broken, "explored"):
            broken.explored = True
            return build(hp)
        raise ValueError("no such layer")
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tune")
    (folder / "tuned_module.py").write_text(textwrap.dedent(MODULE))
    x = np.linspace(-1, 1, 40, dtype="float32").reshape(40, 1)
    np.savez(folder / "x.npz", x=x, y=2 * x, x_test=x[:8], y_test=2 * x[:8])
    np.savez(folder / "given.npz", x_train=x, y_train=2 * x, x_val=x, y_val=2 * x)
    np.savez(folder / "half.npz", x=x)
    np.savez(folder / "short.npz", x=x, y=x[:9])
    np.savez(folder / "names.npz", images=x, y=x)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    model.save(folder / "model.keras")
    return folder


@pytest.fixture
def use(folder, capsys, monkeypatch):
    gc.freeze()  # KerasTuner collects garbage twice a trial
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("COLUMNS", "120")

    def run(line):
        try:
            code = cli.main(["tune", *line.split()])
        except SystemExit as stop:
            code = stop.code
        return code, capsys.readouterr()

    yield run
    gc.unfreeze()


def rows_of(folder):
    with open(folder / "results.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_search_leaves_model_table_and_report_and_goes_on(use, folder):
    line = "--model tuned_module:build --data x.npz -o out --algorithm random --seed 1"
    code, printed = use(f"{line} --trials 2 --epochs 1 --batch-size 8")
    assert code == 0
    assert "On the test data" in printed.out
    rows = rows_of(folder / "out")
    assert [row["status"] for row in rows] == ["COMPLETED"] * 2
    page = (folder / "out" / "report.html").read_text()
    assert "<title>tuned_module:build</title>" in page
    # Another search in the same folder: refused, with the options of this command.
    code, printed = use(f"{line} --trials 3 --epochs 1 --objective loss")
    assert code == 2
    assert "--overwrite" in printed.err and "--adopt" in printed.err
    assert "on_change" not in printed.err and "overwrite=" not in printed.err
    # More trials: those from before stay.
    code, printed = use(
        f"{line} --trials 3 --epochs 1 --batch-size 8 --no-report --json"
    )
    assert code == 0
    found = json.loads(printed.out)
    assert rows_of(folder / "out")[:2] == rows
    assert found["trials"] == {"completed": 3}
    assert found["algorithm"] == "random"
    (best,) = found["best"]
    assert best["metrics"]["val_loss"] == min(
        float(row["score"]) for row in rows_of(folder / "out")
    )
    assert [name.rpartition("/")[2] for name in found["files"]] == [
        "best.keras",
        "results.csv",
    ]
    model = keras.models.load_model(folder / "out" / "best.keras")
    with np.load(folder / "x.npz") as data:
        logs = model.evaluate(
            data["x_test"], data["y_test"], verbose=0, return_dict=True
        )
    assert logs == pytest.approx(found["test"], rel=1e-5)


def test_several_objectives_leave_the_front(use, folder):
    (folder / "two").mkdir()
    (folder / "two" / "front_9.keras").write_text("of an earlier front")
    code, printed = use(
        "--model tuned_module:hyper --data given.npz -o two --trials 2 --no-report "
        "--objective val_loss --objective val_mae:min --algorithm random --json"
    )
    assert code == 0
    found = json.loads(printed.out)
    assert found["objectives"] == {"val_loss": "min", "val_mae": "min"}
    names = {f"front_{row['trial']}.keras" for row in found["best"]}
    assert names == {path.name for path in (folder / "two").glob("*.keras")}
    assert found["test"] is None
    # The hypermodel sets the epochs itself.
    assert {row["value/epochs"] for row in rows_of(folder / "two")} == {"3"}


def test_saved_model(use, folder):
    code, printed = use(
        "--model model.keras --data x.npz -o saved --trials 1 --epochs 1 --no-report "
        "--algorithm evolution --folds 2"
    )
    assert code == 0
    assert "2 folds" in printed.out
    assert set(rows_of(folder / "saved")[0]) >= {"value/optimizer", "value/batch_size"}


def test_no_trial_completes(use, folder):
    code, printed = use(
        "--model tuned_module:broken --data x.npz -o bad --trials 2 --algorithm random"
    )
    assert code == 1
    assert "No trial completed" in printed.err and "no such layer" in printed.err
    assert not (folder / "bad" / "best.keras").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--model build --data x.npz", "must be pkg.module:NAME"),
        ("--model nowhere:build --data x.npz", "no module nowhere"),
        ("--model tuned_module:bild --data x.npz", "tuned_module has no bild"),
        ("--model tuned_module:CONSTANT --data x.npz", "which is 3"),
        ("--model tuned_module:Hyper --data x.npz", "must name a function"),
        ("--model none.keras --data x.npz", "none.keras"),
        ("--model tuned_module:build --data none.npz", "`--data` must be a .npz"),
        ("--model tuned_module:build --data tuned_module.py", "must be a .npz"),
        ("--model tuned_module:build --data half.npz", "x and y, not one"),
        ("--model tuned_module:build --data short.npz", "same number of examples"),
        ("--model tuned_module:build --data names.npz", "with images"),
        ("--model tuned_module:build --data given.npz --folds 2", "x_val and y_val"),
        (
            "--model tuned_module:build --data x.npz --folds 2 --validation-split 0.5",
            "must not be given with",
        ),
        ("--model tuned_module:build --data x.npz --validation-split 0", "both sides"),
        ("--model tuned_module:build --data x.npz --algorithm best", "`algorithm`"),
        ("--model tuned_module:build --data x.npz --pruner best", "`pruner`"),
        ("--model tuned_module:build --data x.npz --objective a:up", ":min or :max"),
        ("--model tuned_module:build --data x.npz --objective cost", "objective"),
        ("--model tuned_module:build --data x.npz --trials 0", "whole number"),
    ],
)
def test_bad_use_is_one_clear_error(use, folder, arguments, said):
    code, printed = use(f"{arguments} -o never")
    assert code == 2
    assert said in printed.err and "Traceback" not in printed.err
    assert not (folder / "never" / "results.csv").exists()


def test_objective_that_the_model_does_not_have(use, folder):
    code, printed = use(
        "--model tuned_module:build --data x.npz -o none --trials 1 --epochs 1 "
        "--objective val_accuracy --algorithm random"
    )
    assert code == 2
    assert "val_accuracy" in printed.err and "val_mae" in printed.err
