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
    x = (x.reshape(-1, 8, 8, 1) / 16).astype("float32")[:256]
    y = y[:256].astype(np.int32)
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
        "x_train": x[:192],
        "y_train": y[:192],
        "x_val": x[192:],
        "y_val": y[192:],
    }


# A whole study: in every run tests/ablation has smaller ones.
SLOW = [number for number, block in enumerate(BLOCKS) if "ablation.study" in block]


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(number, marks=[pytest.mark.slow] * (number in SLOW))
        for number in range(len(BLOCKS))
    ],
)
def test_block_runs(number, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    block = compile(BLOCKS[number], f"<README block {number + 1}>", "exec")
    exec(block, _names())
