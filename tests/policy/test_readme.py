"""The code blocks of README.md run as they stand."""

import numpy as np
import pytest

from tests.policy.sources import ROOT, fenced_python

BLOCKS = fenced_python((ROOT / "README.md").read_text())


def test_there_are_three_uses():
    assert len(BLOCKS) >= 3


def _names():
    """What the README calls an existing model and its data."""
    import keras
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = (x.reshape(-1, 8, 8, 1) / 16).astype("float32")[:96]
    y = y[:96].astype(np.int32)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(8, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return {
        "__name__": "readme",
        "model": model,
        "x_train": x[:64],
        "y_train": y[:64],
        "x_val": x[64:],
        "y_val": y[64:],
    }


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_block_runs(number, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    block = compile(BLOCKS[number], f"<README block {number + 1}>", "exec")
    exec(block, _names())
