"""Wrong arguments: refused early, without a worker, with the file untouched."""

import keras
import numpy as np
import pytest

from keras_strategies import export
from keras_strategies.export import _client

X = np.ones((4, 4), "float32")


@pytest.fixture(autouse=True)
def _no_worker(monkeypatch):
    def start(self):
        raise AssertionError("a worker was started")

    monkeypatch.setattr(_client.Worker, "start", start)


def _tiny():
    return keras.Sequential([keras.Input((4,), name="x"), keras.layers.Dense(3)])


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"quantization": "int4"}, ValueError, "must be one of 'float32'"),
        (
            {"quantization": "int8"},
            ValueError,
            r"needs `representative_data`.*representative_data=x_train\[:200\]",
        ),
        ({"input_type": "int8"}, ValueError, '`input_type` other than "float32"'),
        ({"output_type": "uint8"}, ValueError, "`output_type` other than"),
        ({"input_type": "int16"}, ValueError, "`input_type` must be one of"),
        ({"batch_size": 0}, ValueError, "`batch_size` must be an integer"),
        ({"batch_size": 1.0}, TypeError, "`batch_size` must be an integer"),
        ({"allow_flex": 1}, TypeError, "`allow_flex` must be True or False"),
        ({"keep_rejected": "no"}, TypeError, "`keep_rejected` must be True or False"),
        ({"min_agreement": 1.1}, ValueError, r"`min_agreement` must be in \[0, 1\]"),
        ({"timeout": 0}, ValueError, r"`timeout` must be in \(0, 1000000"),
        ({"verify": False}, TypeError, "`verify` must be"),
        ({"verify": X[:0]}, ValueError, "`verify` must not be empty"),
        ({"verify": X[:, :3]}, ValueError, "`verify` for input 'x' must have shape"),
        ({"representative_data": X * np.nan}, ValueError, "must be finite"),
    ],
)
def test_refused(options, error, match, target):
    target.write_bytes(b"kept")
    with pytest.raises(error, match=match):
        export.to_tflite(_tiny(), target, **options)
    assert target.read_bytes() == b"kept"
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_bad_paths(tmp_path):
    model = _tiny()
    with pytest.raises(ValueError, match=r"must end in \.tflite"):
        export.to_tflite(model, tmp_path / "model.lite")
    with pytest.raises(FileNotFoundError, match="folder of `path` must exist"):
        export.to_tflite(model, tmp_path / "none" / "model.tflite")
    (tmp_path / "folder.tflite").mkdir()
    with pytest.raises(IsADirectoryError, match="must be a file"):
        export.to_tflite(model, tmp_path / "folder.tflite")
    with pytest.raises(TypeError, match="`path` must be"):
        export.to_tflite(model, None)


def test_unwritable_folder():
    # Permission bits do not stop root; procfs does.
    with pytest.raises(PermissionError, match="must be writable"):
        export.to_tflite(_tiny(), "/proc/model.tflite")


def test_what_is_no_model(target):
    with pytest.raises(TypeError, match="`model` must be a Model"):
        export.to_tflite(keras.layers.Dense(3), target)
    with pytest.raises(FileNotFoundError, match="existing .keras file"):
        export.to_tflite("missing.keras", target)
    with pytest.raises(ValueError, match="`model` must be built"):
        export.to_tflite(keras.Sequential([keras.layers.Dense(3)]), target)


def test_nan_weights_are_named(target):
    model = _tiny()
    kernel, bias = model.get_weights()
    kernel[0, 0] = np.nan
    model.set_weights([kernel, bias])
    with pytest.raises(export.ExportError, match="not finite.*kernel") as caught:
        export.to_tflite(model, target)
    assert caught.value.reason == "reference"
    assert not target.exists()


def test_a_batch_size_against_the_models_own(target):
    inputs = keras.Input((4,), batch_size=2)
    model = keras.Model(inputs, keras.layers.Dense(3)(inputs))
    with pytest.raises(ValueError, match="`batch_size` must be 2 or None"):
        export.to_tflite(model, target, batch_size=1)


def test_a_model_that_cannot_be_called_is_named(target):
    class Two(keras.Model):
        def call(self, first, second):
            return first + second

    model = Two()
    model(X, X)
    with pytest.raises(export.ExportError, match="first argument") as caught:
        export.to_tflite(model, target)
    assert caught.value.reason == "reference"


def test_text_inputs(target):
    inputs = keras.Input((1,), dtype="string", name="text")
    model = keras.Model(inputs, inputs)
    with pytest.raises(ValueError, match="text preprocessing out of the model"):
        export.to_tflite(model, target)


def test_errors_carry_reason_and_details():
    error = export.ExportError("text", "flex", {"ops": ["Erf"]})
    assert isinstance(error, RuntimeError)
    assert (str(error), error.reason, error.details) == (
        "text",
        "flex",
        {"ops": ["Erf"]},
    )
