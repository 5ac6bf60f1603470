"""`keras-strategies lr-find`: the suggestion, the picture, bad use."""

import json

import keras
import numpy as np
import pytest

from keras_strategies.cli import main as cli


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lr_find")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(256, 4)).astype("float32")
    np.savez(folder / "x.npz", x=x, y=x @ np.array([[1.0], [2], [3], [4]]))
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.save(folder / "raw.keras")
    model.compile("sgd", loss="mse")
    model.save(folder / "model.keras")
    np.savez(folder / "wide.npz", x=np.ones((8, 5)), y=np.ones((8, 1)))
    for name in ("text.npz", "text.keras"):
        (folder / name).write_text("text")
    return folder


def use(folder, capsys, *arguments):
    code = cli.main(["lr-find", *arguments])
    return code, capsys.readouterr()


def test_suggests_a_rate_and_draws_the_curve(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    before = (folder / "model.keras").read_bytes()
    options = ("--model", "model.keras", "--data", "x.npz", "--steps", "40")
    code, printed = use(
        folder, capsys, *options, "--json", "--min-learning-rate", "1e-5", "-o", "a.png"
    )
    assert code == 0
    told = json.loads(printed.out)
    # The largest rate that converges is 2 / the largest eigenvalue of the Hessian, 1.
    assert 1e-3 < told["suggestions"]["valley"] < 1.0
    assert len(told["rates"]) == len(told["losses"]) <= 40
    assert (folder / "a.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "model.keras").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--model", "raw.keras", "--data", "x.npz"), "compiled Keras model"),
        (("--model", "nothing", "--data", "x.npz"), "pkg.module:NAME"),
        (("--model", "model.keras", "--data", "no.npz"), "no.npz"),
        (("--model", "model.keras", "--data", "raw.keras"), "raw.keras"),
        (("--model", "model.keras", "--data", "text.npz"), "text.npz, which is none"),
        (("--model", "text.keras", "--data", "x.npz"), "text.keras is no .keras file"),
        # Keras's own error, in bold.
        (("--model", "model.keras", "--data", "wide.npz"), "expected axis -1"),
        (("--model", "model.keras", "--data", "x.npz", "-o", "a.txt"), ".png"),
        (
            ("--model", "model.keras", "--data", "x.npz", "--min-learning-rate", "-1"),
            "min_learning_rate",
        ),
    ],
)
def test_bad_use(arguments, said, folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    code, printed = use(folder, capsys, *arguments)
    assert code == 2
    assert said in printed.err and printed.err.count("\n") == 1
    assert "\x1b" not in printed.err


def test_numbers_that_are_not_finite_are_said(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    x = np.ones((64, 4), "float32")
    x[3, 1] = np.nan
    np.savez("nan.npz", x=x, y=x[:, :1])
    options = ("--model", "model.keras", "--data", "nan.npz", "--steps", "10")
    _, printed = use(folder, capsys, *options)
    assert "note: 1 of 256 numbers" in printed.err
