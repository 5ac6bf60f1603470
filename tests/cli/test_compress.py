"""`keras-strategies compress`: files, figures, exit codes and bad use."""

import json

import keras
import numpy as np
import pytest

from keras_strategies.cli import main as cli

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compress")
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 8)).astype("float32")
    y = (x[:, 0] > 0).astype("int32")
    np.savez(folder / "x.npz", x=x, y=y)
    layers = [keras.layers.Dense(16, "relu"), keras.layers.Dense(2, "softmax")]
    model = keras.Sequential([keras.Input((8,)), *layers])
    model.save(folder / "raw.keras")
    optimizer = keras.optimizers.Adam(0.05)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=3, verbose=0)
    model.save(folder / "model.keras")
    return folder


@pytest.fixture
def use(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)

    def run(line):
        return cli.main(["compress", *line.split()]), capsys.readouterr()

    return run


@pytest.mark.slow
def test_a_folder_with_model_file_and_figures(use, folder):
    line = "model.keras --data x.npz -o small --max-candidates 1 --epochs 1"
    code, printed = use(f"{line} --budget 30 --json")
    assert code == 0
    told = json.loads(printed.out)
    assert told["rows"] and told["held_out"]["met"]
    assert json.loads((folder / "small" / "result.json").read_text()) == told
    assert (folder / "small" / "model.tflite").stat().st_size > 0
    assert keras.models.load_model(folder / "small" / "model.keras").compiled


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*budget")
def test_what_cannot_be_decided_is_written_and_exits_with_1(use, folder):
    line = "model.keras --data x.npz -o over --max-candidates 1 --epochs 1 --budget 0"
    code, printed = use(line)
    assert code == 1
    assert "keras-strategies: " in printed.err and "gzipped" in printed.out
    assert (folder / "over" / "model.tflite").exists()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("no.keras --data x.npz -o out", "no.keras"),
        ("raw.keras --data x.npz -o out", "compiled"),
        ("model.keras --data no.npz -o out", "no.npz"),
        ("model.keras --data x.npz -o x.npz", "a folder"),
        ("model.keras --data x.npz -o out --budget -1", "budget"),
    ],
)
def test_bad_use(use, folder, line, said):
    code, printed = use(line)
    assert code == 2 and said in printed.err
    assert len(printed.err.splitlines()) == 1
    assert not (folder / "out").exists()
