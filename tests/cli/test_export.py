"""`keras-strategies export`: files written, refused and reported; exit codes."""

import json

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

from keras_strategies import export
from keras_strategies.cli import main as cli
from keras_strategies.export.convert import _steps

pytestmark = pytest.mark.tensorflow
L = keras.layers


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A trained model, its data as .npz and as images, metadata, a file with code."""
    folder = tmp_path_factory.mktemp("export")
    data = load_digits()
    x, y = (data.images[..., None] / 16).astype("float32"), data.target
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1), name="image"),
            L.Conv2D(24, 3, activation="relu"),
            L.Flatten(),
            L.Dense(48, activation="relu"),
            L.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x[:1000], y[:1000], epochs=4, verbose=0)
    model.save(folder / "model.keras")
    np.savez(folder / "train.npz", x=x[:150])
    np.savez(folder / "test.npz", x_test=x[1400:], y_test=y[1400:])
    np.savez(folder / "other.npz", a=x, b=x)
    (folder / "images").mkdir()
    for index in range(20):
        path = folder / "images" / f"{index}.png"
        keras.utils.save_img(path, x[index] * 255, scale=False)
    metadata = {"labels": list("0123456789"), "normalization": {"mean": 0, "std": 255}}
    (folder / "metadata.json").write_text(json.dumps(metadata))
    code = keras.Sequential([keras.Input((4,)), L.Lambda(lambda x: x * 2)])
    code.save(folder / "code.keras")
    return folder


@pytest.fixture
def use(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "120")

    def run(line):
        try:
            code = cli.main(["export", *line.split()])
        except SystemExit as stop:
            code = stop.code
        return code, capsys.readouterr()

    return run


def test_int8_with_everything_beside_it(use, folder):
    code, printed = use(
        "model.keras -o all.tflite --quantization int8 --representative train.npz "
        "--verify test.npz --labels test.npz --max-metric-drop 0.05 "
        "--metadata metadata.json --c-array --c-interpreter --report all.html"
    )
    assert code == 0
    assert "int8" in printed.out and "accuracy" in printed.out
    assert export.read_metadata("all.tflite")["labels"][3] == "3"
    source = (folder / "all.cc").read_text()
    assert "alignas(16)" in source or "aligned(16)" in source
    assert (folder / "all.h").is_file()
    assert "MicroMutableOpResolver" in (folder / "all_interpreter.h").read_text()
    assert "<html" in (folder / "all.html").read_text()


def test_by_layer_from_a_folder_of_images_as_json(use, folder):
    code, printed = use(
        "model.keras -o layers.tflite --layer conv=int8 --layer dense=dynamic "
        "--representative images --metadata metadata.json --verify test.npz --json"
    )
    assert code == 0
    values = json.loads(printed.out)
    assert values["quantization"] == {"conv": "int8", "dense": "dynamic"}
    assert values["calibration"]["samples"] == 20
    assert values["bytes"] == (folder / "layers.tflite").stat().st_size


def test_a_failed_gate_keeps_the_file_aside(use, folder):
    (folder / "kept.tflite").write_bytes(b"kept")
    code, printed = use(
        "model.keras -o kept.tflite --quantization int4_weights --verify test.npz "
        "--min-agreement 1 --metric accuracy"
    )
    assert code == 1
    assert "less than the 1 that `min_agreement` asks for" in printed.err
    assert "kept.tflite.rejected" in printed.err
    assert (folder / "kept.tflite").read_bytes() == b"kept"
    rejected = (folder / "kept.tflite.rejected").read_bytes()
    assert rejected[4:8] == b"TFL3"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("none.keras -o a.tflite", "must be an existing .keras file"),
        ("train.npz -o a.tflite", "a .keras file that can be loaded"),
        ("model.keras -o a.lite", "must end in .tflite"),
        ("model.keras -o none/a.tflite", "folder of `--output` must exist"),
        ("model.keras", "required: -o/--output"),
        ("model.keras -o a.tflite --quantization int9", "must be one of"),
        ("model.keras -o a.tflite --quantization int8", "needs `--representative`"),
        ("model.keras -o a.tflite --layer conv", "must be REGEX=MODE"),
        (
            "model.keras -o a.tflite --layer conv=int8 --quantization int8",
            "not both",
        ),
        ("model.keras -o a.tflite --layer a=int8 --layer a=float16", "is given in two"),
        ("model.keras -o a.tflite --verify none.npz", "must be a .npy or .npz file"),
        ("model.keras -o a.tflite --verify other.npz", "must hold one array"),
        ("model.keras -o a.tflite --metadata none.json", "must be a JSON file"),
        ("model.keras -o a.tflite --report a.pdf", "must end in .html or .json"),
        ("model.keras -o a.tflite --min-agreement 2", "number from 0 to 1"),
        ("model.keras -o a.tflite --quantizer none", "`--quantizer` must be one of"),
        ("model.keras -o a.tflite --time-limit 0", "`--time-limit` must be in"),
        ("model.keras -o a.tflite --batch-size 0", "whole number"),
        (
            "model.keras -o a.tflite --verify test.npz --labels other.npz "
            "--max-metric-drop 0.1",
            "must hold y_test, y or labels",
        ),
    ],
)
def test_bad_use(line, said, use, folder):
    code, printed = use(line)
    assert code == 2
    assert said in " ".join(printed.err.split())
    assert "Traceback" not in printed.err
    assert not list(folder.glob("a.*"))


def test_code_in_a_file_is_run_only_if_asked_for(use, folder):
    code, printed = use("code.keras -o code.tflite")
    assert code == 2 and "Pass --unsafe if you trust the file." in printed.err
    assert not (folder / "code.tflite").exists()
    code, _ = use("code.keras -o code.tflite --unsafe")
    assert code == 0


def test_help_names_the_exit_codes_and_shows_examples(use):
    code, printed = use("--help")
    assert code == 0
    assert "1 refused" in printed.out and "--c-array" in printed.out
    for option in ("--quantizer NAME", "--time-limit SECONDS"):
        assert option in printed.out
    for option in ("--backend", "--timeout"):
        assert option not in printed.out


def test_steps_are_reported(folder, tmp_path):
    seen = []
    with _steps.report_steps(seen.append):
        export.to_tflite(folder / "model.keras", tmp_path / "a.tflite")
    assert seen == [
        "running the Keras model",
        "tracing the model",
        "converting to float32",
        "running the artifact",
    ]
    export.to_tflite(folder / "model.keras", tmp_path / "a.tflite")
    assert len(seen) == 4
