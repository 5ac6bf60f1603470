"""`keras-strategies checkpoint`: what is there, whether it is whole, and the model."""

import json
import shutil

import keras
import numpy as np
import pytest

from keras_strategies import training
from keras_strategies.cli import main as cli


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    keras.backend.clear_session(free_memory=False)  # names as of a new process
    folder = tmp_path_factory.mktemp("checkpoint")
    keras.utils.set_random_seed(0)
    layers = [keras.Input((3,)), keras.layers.Dense(2), keras.layers.Dropout(0.1)]
    model = keras.Sequential([*layers, keras.layers.Dense(1)])
    model.compile("adam", "mse")
    x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    data = training.IndexedDataset((x, x[:, :1]), batch_size=4)
    resumable = training.ResumableTraining(folder / "run", verbose=0)
    model.fit(data, epochs=2, callbacks=[resumable], verbose=0)
    return folder, model, x


@pytest.fixture
def use(trained, tmp_path, capsys, monkeypatch):
    shutil.copytree(trained[0] / "run", tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")

    def run(line):
        try:
            code = cli.main(line.split())
        except SystemExit as stop:
            code = stop.code
        return code, capsys.readouterr()

    return run


def test_list_and_show(use):
    code, printed = use("checkpoint list run")
    assert code == 0
    assert "checkpoint-00000003" in printed.out
    code, printed = use("checkpoint list run --json")
    rows = json.loads(printed.out)["rows"]
    assert [(row["epoch"], row["finished"]) for row in rows] == [
        (1, False),
        (2, False),
        (2, True),
    ]
    code, printed = use("checkpoint show run/checkpoint-00000001")
    assert code == 0
    for text in ("sequential/dense/kernel", "float32", "History", "batch_size"):
        assert text in printed.out
    code, printed = use("checkpoint show run --json")
    assert json.loads(printed.out)["checkpoint"] == "checkpoint-00000003"


def test_verify(use, tmp_path):
    assert use("checkpoint verify run")[0] == 0
    with (tmp_path / "run/checkpoint-00000002/state.json").open("r+b") as file:
        file.seek(9)
        file.write(b"\0")
    code, printed = use("checkpoint verify run")
    assert code == 1
    assert "its state.json is damaged" in " ".join(printed.out.split())
    assert use("checkpoint list run")[0] == 0  # looks at the manifests only


def test_export(use, trained, tmp_path):
    code, printed = use("checkpoint export run -o model.keras")
    assert code == 0, printed.err
    model = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        model.predict(trained[2], verbose=0), trained[1].predict(trained[2], verbose=0)
    )
    code, printed = use("checkpoint export run -o again.keras --json")
    record = json.loads(printed.out)
    assert (code, record["checkpoint"]) == (0, "checkpoint-00000003")
    assert (record["epoch"], record["iterations"], record["finished"]) == (2, 4, True)
    assert record["bytes"] == (tmp_path / "again.keras").stat().st_size
    for line, text in [
        ("checkpoint export run -o nowhere/model.keras", "nowhere"),
        ("checkpoint export run -o model.h5", "must end in .keras"),
        ("checkpoint list nowhere", "There must be a checkpoint"),
    ]:
        code, printed = use(line)
        assert code == 2
        assert text in printed.err


def test_a_model_without_a_config(use, tmp_path):
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, inputs):
            return self.dense(inputs)

        def get_config(self):
            raise NotImplementedError

    model = Own()
    model.compile("sgd", "mse")
    data = training.IndexedDataset((np.ones((4, 2)), np.ones((4, 1))), batch_size=4)
    resumable = training.ResumableTraining("own", verbose=0)
    model.fit(data, callbacks=[resumable], verbose=0)
    code, printed = use("checkpoint export own -o model.keras")
    assert code == 2
    assert "architecture of its model" in printed.err
