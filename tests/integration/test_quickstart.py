"""The main job as its user runs it, and its files."""

import contextlib
import io
import json
import os
import subprocess
import sys
from html.parser import HTMLParser

import keras
import numpy as np
import pytest

from keras_strategies import compression
from keras_strategies.cli import main as cli
from keras_strategies.cli.quickstart import networks

pytestmark = pytest.mark.tensorflow
ARGUMENTS = ["--seeds", "3", "--seed", "3"]


def _small_network(strategies):
    layers = [keras.Input((8, 8, 1), name="image"), keras.layers.Flatten()]
    layers.append(keras.layers.Dense(1024, activation="relu"))
    layers.append(keras.layers.Dense(10, activation="softmax", name="digit"))
    model = keras.Sequential(layers)
    networks.compile_model(model, 0.01)
    return model


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """In this process, with a smaller network."""
    folder = tmp_path_factory.mktemp("with space") / "out"
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "160")
        patch.setattr(networks, "build", _small_network)
        with contextlib.redirect_stdout(printed):
            code = cli.main(
                ["quickstart", "-o", str(folder), "--epochs", "6", *ARGUMENTS]
            )
    assert code == 0
    report = json.loads((folder / "report.json").read_text())
    return folder, printed.getvalue(), report


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """As the user runs it, with networks that have learnt."""
    folder = tmp_path_factory.mktemp("with space") / "out"
    command = [sys.executable, "-m", "keras_strategies_cli", "quickstart"]
    finished = subprocess.run(
        [*command, "-o", str(folder), "--epochs", "12", *ARGUMENTS],
        capture_output=True,
        text=True,
        env=os.environ | {"COLUMNS": "160"},
        timeout=1500,
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    return folder, finished.stdout, json.loads((folder / "report.json").read_text())


@pytest.fixture(params=["short", pytest.param("whole", marks=pytest.mark.slow)])
def done(request):
    return request.getfixturevalue(request.param)


def _rows(report):
    return {row["name"]: row for row in report["rows"]}


def test_files(done):
    folder, _, _ = done
    assert sorted(path.name for path in folder.iterdir()) == [
        "model.keras",
        "model.tflite",
        "model_float32.tflite",
        "report.html",
        "report.json",
        "training.png",
    ]


def test_both_networks_are_shown_with_at_least_three_seeds(done):
    comparison = done[2]["comparison"]
    assert comparison["seeds"] == [3, 4, 5]
    for name in ("plain", "strategies"):
        assert len(comparison[name]) == 3
    gain = comparison["gain"]
    differences = np.subtract(comparison["strategies"], comparison["plain"])
    assert gain["mean"] == pytest.approx(differences.mean())
    assert gain["low"] <= gain["mean"] <= gain["high"]


@pytest.mark.slow
def test_both_networks_learn(whole):
    comparison = whole[2]["comparison"]
    assert min(comparison["plain"]) > 0.6 and min(comparison["strategies"]) > 0.6


def test_sizes_are_those_of_the_files(done):
    folder, _, report = done
    rows = _rows(report)
    assert rows["int8 .tflite"]["bytes"] == (folder / "model.tflite").stat().st_size
    large = (folder / "model_float32.tflite").stat().st_size
    assert rows["float32 .tflite"]["bytes"] == large
    assert report["int8_to_float32_bytes"] <= 0.35


@pytest.mark.slow
def test_int8_agrees_and_its_accuracy_is_measured(whole):
    folder, _, report = whole
    rows = _rows(report)
    assert rows["int8 .tflite"]["agreement"] >= 0.99
    assert rows["float32 .tflite"]["agreement"] >= 0.99
    difference = rows["int8 .tflite"]["accuracy"] - rows["pruned"]["accuracy"]
    assert abs(difference) <= 0.01


def test_model_is_as_sparse_as_said_and_loads(done):
    folder, _, report = done
    model = keras.models.load_model(folder / "model.keras")
    sparsity = compression.sparsity_report(model).sparsity
    assert sparsity == pytest.approx(_rows(report)["pruned"]["sparsity"])
    assert 0.79 <= sparsity <= 0.81
    images = np.zeros((2, 8, 8, 1), "float32")
    np.testing.assert_allclose(
        model.predict(images, verbose=0).sum(axis=1), 1.0, rtol=1e-5
    )


class _Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.pictures, self.outside = 0, []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        if tag == "img":
            self.pictures += values["src"].startswith("data:image/png;base64,")
        for key in ("src", "href"):
            if values.get(key, "data:").startswith("data:"):
                continue
            self.outside.append(values[key])


def test_page_is_self_contained(done):
    folder, _, report = done
    text = (folder / "report.html").read_text()
    page = _Page()
    page.feed(text)
    assert page.pictures == 3
    assert page.outside == []
    assert report["summary"] in text


def test_terminal_shows_the_table(done):
    _, printed, report = done
    assert "int8 .tflite" in printed
    assert "Agrees" in printed
    assert report["summary"].split(":")[0] in " ".join(printed.split())


def test_page_has_the_headline(done):
    from keras_strategies.cli.quickstart.report import headline_cards

    text = (done[0] / "report.html").read_text()
    for value, _ in headline_cards(done[2]):
        assert f"<b>{value}</b>" in text
    assert "prefers-color-scheme: dark" in text


@pytest.mark.slow
def test_gain_of_the_default_run_excludes_zero(tmp_path):
    """The claim on the first line of the README, with its own settings."""
    command = [sys.executable, "-m", "keras_strategies_cli", "quickstart", "--json"]
    finished = subprocess.run(
        [*command, "-o", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        timeout=1500,
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    comparison = json.loads(finished.stdout)["comparison"]
    assert len(comparison["seeds"]) == 5
    assert comparison["gain"]["low"] > 0
