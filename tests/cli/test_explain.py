"""`keras-strategies explain`: pictures, arrays, facts and one-line errors."""

import json

import keras
import numpy as np
import pytest
from keras import layers as kl

from keras_strategies import explain
from keras_strategies.cli import main as cli


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explain")
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((12, 12, 3), name="image"),
            kl.Conv2D(4, 3, activation="relu", name="first"),
            kl.Conv2D(4, 3, activation="relu", name="last"),
            kl.GlobalAveragePooling2D(),
            kl.Dense(5, activation="softmax"),
        ]
    )
    model.save(folder / "model.keras")
    table = keras.Sequential([keras.Input((4,), name="row"), kl.Dense(2)])
    table.save(folder / "table.keras")
    code = keras.Sequential([keras.Input((4,)), kl.Lambda(lambda x: x[:, :2])])
    code.save(folder / "code.keras")
    x = np.random.default_rng(0).random((10, 12, 12, 3)).astype("float32")
    np.save(folder / "x.npy", x)
    np.savez(folder / "rows.npz", x=np.ones((3, 4), "float32"))
    keras.utils.save_img(folder / "cat.png", x[0] * 255, scale=False)
    (folder / "text.png").write_text("no image")
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


def test_an_image_becomes_a_picture(use, folder):
    code, printed = use("explain model.keras cat.png --scale 255 -o why.png")
    assert code == 0 and printed.err == ""
    assert "grad_cam" in printed.out and "last" in printed.out
    assert (folder / "why.png").read_bytes()[:4] == b"\x89PNG"
    code, printed = use(
        "explain model.keras cat.png --target 2 --layer first --method layer_cam "
        "--scale 255 -o maps.npy --json"
    )
    facts = json.loads(printed.out)
    assert code == 0 and facts == {
        "method": "layer_cam",
        "layer": "first",
        "targets": [2],
        "output": "maps.npy",
    }
    image = keras.utils.img_to_array(keras.utils.load_img(folder / "cat.png")) / 255
    model = keras.models.load_model(folder / "model.keras")
    expected = explain.layer_cam(model, image[None], 2, layer="first")
    np.testing.assert_allclose(np.load(folder / "maps.npy"), expected, rtol=1e-5)


def test_arrays_and_tables(use, folder):
    code, printed = use("explain model.keras x.npy --count 3 -o m.npy --json")
    assert code == 0 and len(json.loads(printed.out)["targets"]) == 3
    assert np.load(folder / "m.npy").shape == (3, 12, 12)
    code, _ = use("explain model.keras x.npy --count 2 --method eigen_cam -o e.svg")
    assert code == 0 and b"<svg" in (folder / "e.svg").read_bytes()
    code, _ = use("explain table.keras rows.npz --method grad_times_input -o t.png")
    assert code == 0 and (folder / "t.png").exists()
    for logits in (True, False):
        flag = "" if logits else "--probabilities"
        use(f"explain model.keras x.npy --method saliency --target 1 {flag} -o s.npy")
        model = keras.models.load_model(folder / "model.keras")
        x = np.load(folder / "x.npy")[:8]
        expected = explain.saliency(model, x, 1, logits=logits)
        np.testing.assert_allclose(np.load(folder / "s.npy"), expected, rtol=1e-4)


@pytest.mark.parametrize(
    "line, words",
    [
        ("explain none.keras x.npy", "none.keras"),
        ("explain model.keras none.npy", "must be a .npy or .npz"),
        ("explain model.keras text.png", "text.png"),
        ("explain model.keras x.npy -o why.txt", "must end in"),
        ("explain model.keras x.npy -o none/why.png", "must exist"),
        ("explain model.keras x.npy --target 5", "must be in [0, 4]"),
        ("explain model.keras x.npy --layer none", "must match at least one"),
        ("explain model.keras x.npy --method saliency --layer last", "goes with class"),
        ("explain model.keras x.npy --method eigen_cam --target 1", "leave --target"),
        ("explain table.keras rows.npz", "Use saliency"),
        ("explain table.keras cat.png", "An image needs"),
        ("explain model.keras cat.png --scale 0", "must not be 0"),
        ("explain code.keras rows.npz --method saliency", "Pass --unsafe"),
        ("explain model.keras x.npy --method lime", "invalid choice"),
    ],
)
def test_bad_use_is_one_line(use, folder, line, words):
    before = sorted(path.name for path in folder.iterdir())
    code, printed = use(line)
    assert code == 2 and words in printed.err
    assert printed.err.count("\n") == 1 or "usage:" in printed.err
    assert sorted(path.name for path in folder.iterdir()) == before
