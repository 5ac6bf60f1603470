"""The commands about `.tflite` files: tables, JSON, exit codes, one-line errors."""

import json

import keras
import numpy as np
import pytest

from keras_strategies import export
from keras_strategies.cli import main as cli
from keras_strategies.cli.compare import load_data
from keras_strategies.cli.errors import UsageError

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model with its artifact and data, one with code in it, damaged files."""
    folder = tmp_path_factory.mktemp("cli")
    x = np.random.default_rng(0).normal(size=(40, 4)).astype("float32")
    model = keras.Sequential(
        [keras.Input((4,), name="x1"), keras.layers.Dense(3, name="scores")]
    )
    model.save(folder / "model.keras")
    export.to_tflite(model, folder / "model.tflite", verify=x)
    export.write_metadata(
        folder / "model.tflite", {"labels": ["a", "b", "c"], "author": "me [red]"}
    )
    keras.models.clone_model(model).save(folder / "other.keras")
    code = keras.Sequential(
        [keras.Input((4,), name="x1"), keras.layers.Lambda(lambda x: x[:, :3])]
    )
    code.save(folder / "code.keras")
    np.save(folder / "x.npy", x)
    np.savez(folder / "data.npz", x_test=x, y_test=np.zeros(40))
    np.savez(folder / "two.npz", a=x, b=x)
    (folder / "cut.tflite").write_bytes((folder / "model.tflite").read_bytes()[:700])
    (folder / "text.tflite").write_text("no model")
    (folder / "cut.keras").write_bytes((folder / "model.keras").read_bytes()[:700])
    return folder


@pytest.fixture
def use(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "120")

    def run(line):
        try:
            code = cli.main(line.split())
        except SystemExit as stop:
            code = stop.code
        return code, capsys.readouterr()

    return run


def test_inspect(use, folder):
    code, printed = use("inspect model.tflite")
    assert code == 0 and printed.err == ""
    for word in ("model.tflite", "FULLY_CONNECTED", "x1", "float32 (?, 4)", "me [red]"):
        assert word in printed.out
    code, printed = use("inspect model.tflite --json")
    found = json.loads(printed.out)
    assert code == 0
    assert found["bytes"] == (folder / "model.tflite").stat().st_size
    assert found["ops"] == {"FULLY_CONNECTED": 1}
    assert found["tensor_types"]["float32"]["bytes"] >= 4 * 3 * 4
    assert found["sparsity"]["total"] == 0 and found["flex_ops"] == []
    assert [entry["ops"] for entry in found["delegates"]] == [[]] * 5
    assert all(entry["source"].startswith("https://") for entry in found["delegates"])
    assert found["signatures"]["serving_default"]["inputs"]["x1"]["shape"] == [None, 4]
    assert found["metadata"]["labels"] == ["a", "b", "c"]


def test_benchmark(use):
    code, printed = use("benchmark model.tflite --runs 5 --no-xnnpack")
    assert code == 0 and "median" in printed.out and "off" in printed.out
    code, printed = use("benchmark model.tflite --data x.npy --json")
    assert code == 0, printed.err
    found = json.loads(printed.out)
    assert code == 0 and found["inputs"] == "given" and found["runs"] >= 50
    assert found["p90_ms"] <= found["p99_ms"]
    code, printed = use("benchmark model.tflite --runs 7 --threads 2 --json")
    found = json.loads(printed.out)
    assert code == 0 and (found["runs"], found["threads"]) == (7, 2)
    assert 0 < found["min_ms"] <= found["median_ms"]


def test_compare(use):
    code, printed = use("compare model.keras model.tflite --data x.npy")
    assert code == 0 and "1.0000" in printed.out and printed.err == ""
    line = "compare other.keras model.tflite --data data.npz --min-agreement 0.9"
    code, printed = use(line)
    assert code == 1 and "is below 0.9" in printed.err
    assert printed.err.count("\n") == 1 and "agreement" in printed.out
    labels = "compare model.keras model.tflite --data x.npy --labels data.npz"
    code, printed = use(f"{labels} --quantization int8 --json")
    found = json.loads(printed.out)
    assert code == 0 and found["passed"] and found["quantization"] == "int8"
    assert found["verdicts"]["scores"]["kind"] == "regression"
    code, printed = use(line + " --json")
    assert code == 1 and json.loads(printed.out)["passed"] is False
    code, printed = use(line + " --tolerance 1 --json")
    assert json.loads(printed.out)["outputs"]["scores"]["tolerance"] == 1


def test_code_in_a_keras_file_is_refused_unless_asked_for(use):
    line = "compare code.keras model.tflite --data x.npy"
    code, printed = use(line)
    assert code == 2 and printed.err.count("\n") == 1
    assert "--unsafe" in printed.err
    code, printed = use(line + " --unsafe")
    assert code == 1 and "refused: scores" not in printed.err
    assert "refused: " in printed.err and "refused (regression)" in printed.out


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("inspect none.tflite", "existing .tflite file"),
        ("inspect cut.tflite", "cannot be opened"),
        ("inspect text.tflite", "cannot be opened"),
        ("inspect .", "must be a file"),
        ("benchmark cut.tflite", "cannot be opened"),
        ("compare model.keras cut.tflite --data x.npy", "cannot be opened"),
        ("compare none.keras model.tflite --data x.npy", "existing .keras file"),
        ("compare x.npy model.tflite --data x.npy", "x.npy"),
        ("compare model.keras model.tflite --data none.npz", "none.npz"),
        ("compare model.keras model.tflite --data cut.tflite", "(it is neither)"),
        ("compare model.keras model.tflite --data two.npz", "called x1, x_test or x"),
        (
            "compare model.keras model.tflite --data x.npy --labels two.npz",
            "`--labels` must hold",
        ),
        ("compare cut.keras model.tflite --data x.npy", "damaged or cut off"),
        (
            "export model.keras -o a.tflite --representative cut.tflite",
            "`--representative` must be a .npy",
        ),
        (
            "export model.keras -o a.tflite --verify two.npz",
            "`--verify` must hold one array",
        ),
    ],
)
def test_bad_files_are_one_line_and_exit_code_2(line, said, use):
    code, printed = use(line)
    assert code == 2 and said in printed.err
    assert printed.err.count("\n") == 1 and printed.out == ""


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("inspect", "MODEL.tflite"),
        ("benchmark model.tflite --runs 0", "from 1 to 1000000. Received: 0"),
        ("benchmark model.tflite --threads many", "Received: many"),
        ("compare model.keras model.tflite", "--data"),
        ("compare a b --data c --min-agreement 2", "from 0 to 1. Received: 2"),
        ("compare a b --data c --min-agreement nan", "from 0 to 1. Received: nan"),
    ],
)
def test_bad_options(line, said, use):
    code, printed = use(line)
    assert code == 2 and said in printed.err


@pytest.mark.parametrize("command", ["inspect", "benchmark", "compare"])
def test_help_has_an_example(command, use, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, printed = use(f"{command} --help")
    assert code == 0
    assert f"  keras-strategies {command} " in printed.out and "--json" in printed.out
    assert all(len(line) <= 88 for line in printed.out.splitlines())


def test_which_array_of_the_data_is_taken(tmp_path):
    def save(**arrays):
        np.savez(tmp_path / "d.npz", **arrays)
        return tmp_path / "d.npz"

    one, two = np.zeros(1), np.ones(2)
    assert load_data(save(anything=two), ["image"]).size == 2
    assert load_data(save(x=one, image=two), ["image"]).size == 2
    assert load_data(save(x=one, x_test=two), ["image"]).size == 2
    assert load_data(save(x=two, y=one), ["image"]).size == 2
    assert set(load_data(save(a=one, b=two), ["a", "b"])) == {"a", "b"}
    objects = np.array([{}], dtype=object)
    with pytest.raises(UsageError, match=r"\.npy or \.npz file of numbers"):
        load_data(save(x=objects), ["image"])
