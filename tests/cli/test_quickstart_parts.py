"""The parts of the quickstart against hand-made figures."""

import io

import numpy as np
import pytest

from keras_strategies.cli.quickstart import plots, report, training
from keras_strategies.cli.quickstart.data import load

PNG = b"\x89PNG\r\n\x1a\n"


def test_split_is_disjoint_stratified_and_fixed():
    digits = load()
    assert [len(part) for part in digits[::2]] == [200, 300, 540]
    again = load()
    np.testing.assert_array_equal(digits.x_test, again.x_test)
    seen = {image.tobytes() for image in digits.x_train}
    shared = sum(image.tobytes() in seen for image in digits.x_test)
    assert shared == 0
    counts = np.bincount(digits.y_test, minlength=10)
    assert counts.min() >= 50
    assert digits.x_train.min() == 0 and digits.x_train.max() == 1


def test_paired_gain_is_students_interval():
    gain = training.paired_gain([0.90, 0.92, 0.91], [0.93, 0.94, 0.95])
    # differences .03 .02 .04: mean .03, sd .01, t(.975, 2) = 4.302653
    half = 4.302653 * 0.01 / np.sqrt(3)
    assert gain["mean"] == pytest.approx(0.03)
    assert gain["low"] == pytest.approx(0.03 - half, abs=1e-6)
    assert gain["high"] == pytest.approx(0.03 + half, abs=1e-6)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.01, 0.03, "better than plain Keras"),
        (-0.03, -0.01, "worse than plain Keras"),
        (-0.01, 0.03, "not distinguishable"),
    ],
)
def test_summary_says_what_the_interval_allows(low, high, said):
    gain = {"mean": (low + high) / 2, "low": low, "high": high}
    assert said in report.gain_sentence({"seeds": [0, 1, 2], "gain": gain})


def test_cells():
    assert report.cell_text("accuracy", 0.98765) == "98.77%"
    assert report.cell_text("bytes", 123456) == "123,456"
    assert report.cell_text("latency_ms", 0.0421) == "0.042 ms"
    assert report.cell_text("agreement", None) == "-"


def test_the_table_fits_a_terminal():
    from rich.console import Console

    row = {key: None for key, _ in report.COLUMNS}
    row |= {"name": "strategies, seed 0", "accuracy": 1.0, "parameters": 169_802}
    row |= {"sparsity": 0.8, "bytes": 728_003, "gzip_bytes": 631_614}
    row |= {"latency_ms": 12.345, "agreement": 1.0}
    console = Console(width=80, file=io.StringIO())
    console.print(report.results_table({"rows": [row]}))
    text = console.file.getvalue()
    cells = [report.cell_text(key, row[key]) for key, _ in report.COLUMNS]
    assert all(cell in text for cell in cells)
    assert all(title in text for _, title in report.COLUMNS)


@pytest.mark.parametrize("epochs", [1, 4])
def test_training_picture(epochs):
    rng = np.random.default_rng(0)
    histories = [
        {key: list(rng.uniform(0.1, 1, epochs)) for key in ("val_accuracy", "val_loss")}
        for _ in range(3)
    ]
    assert plots.training_curves(histories, histories).startswith(PNG)


def test_picture_of_predictions_shows_mistakes_first():
    rng = np.random.default_rng(0)
    images = rng.uniform(size=(40, 8, 8, 1))
    probabilities = rng.dirichlet(np.ones(10), size=40)
    labels = probabilities.argmax(axis=1)
    labels[7] = (labels[7] + 1) % 10
    assert plots.predictions(images, labels, probabilities).startswith(PNG)
    order = plots.hardest_first(labels, probabilities)
    assert order[0] == 7
