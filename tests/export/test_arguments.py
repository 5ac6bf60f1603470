"""Wrong arguments: refused early, without a worker, with the file untouched."""

import importlib.util
import sys

import keras
import numpy as np
import pytest

from keras_strategies import export
from keras_strategies.export._worker import converter_client

X = np.ones((4, 4), "float32")
SCORED = {"max_metric_drop": 0.1, "verify": X}


@pytest.fixture(autouse=True)
def _no_worker(monkeypatch):
    def start(self):
        raise AssertionError("a worker was started")

    monkeypatch.setattr(converter_client.ConverterClient, "start", start)


def _tiny():
    return keras.Sequential([keras.Input((4,), name="x"), keras.layers.Dense(3)])


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"quantization": "int4"}, ValueError, "must be one of 'float32'"),
        (
            {"quantization": "int8"},
            ValueError,
            r"needs `representative_data`.*such as x_train\[:200\]",
        ),
        ({"input_type": "int8"}, ValueError, '`input_type` other than "float32"'),
        ({"output_type": "uint8"}, ValueError, "`output_type` other than"),
        ({"input_type": "int16"}, ValueError, "`input_type` must be one of"),
        ({"batch_size": 0}, ValueError, "`batch_size` must be an integer"),
        ({"batch_size": 1.0}, TypeError, "`batch_size` must be an integer"),
        ({"allow_flex": 1}, TypeError, "`allow_flex` must be True or False"),
        ({"keep_rejected": "no"}, TypeError, "`keep_rejected` must be True or False"),
        ({"min_agreement": 1.1}, ValueError, r"`min_agreement` must be in \[0, 1\]"),
        ({"time_limit": 0}, ValueError, r"`time_limit` must be in \(0, 1000000"),
        ({"verify": False}, TypeError, "`verify` must be"),
        ({"verify": X[:0]}, ValueError, "`verify` must not be empty"),
        ({"verify": X[:, :3]}, ValueError, "`verify` for input 'x' must have shape"),
        ({"representative_data": X * np.nan}, ValueError, "must be finite"),
        ({"quantization": {}}, ValueError, "`quantization` must have a rule"),
        ({"quantization": {"(": "int8"}}, ValueError, "regular expression"),
        ({"quantization": {"conv": "int3"}}, ValueError, "See the key 'conv'"),
        ({"quantization": {".": "int8"}}, ValueError, "needs `representative_data`"),
        ({"quantization": "int16x8"}, ValueError, '="int16x8"` needs'),
        ({"quantization": "auto"}, ValueError, '="auto"` needs data'),
        (
            {"quantization": "auto", "verify": np.ones((30, 4))},
            ValueError,
            "`verify` must have at least 40 samples",
        ),
        (
            {"quantization": "auto", "representative_data": np.ones((70, 4))},
            ValueError,
            "at least 80 samples",
        ),
        ({"objective": "speed"}, ValueError, "`objective` must be one of"),
        ({"margin": 2.0}, ValueError, "`margin` must be in"),
        ({"calibration": "max"}, ValueError, "`calibration` must be one of 'minmax'"),
        ({"percentile": 50}, ValueError, r"`percentile` must be in \(50, 100\]"),
        ({"quantizer": "aimet"}, ValueError, "`quantizer` must be one of"),
        ({"labels": np.ones(4)}, ValueError, "need the inputs as `verify`"),
        ({"max_loss": -1.0}, ValueError, "`max_loss` must be at least 0"),
        ({"max_loss": {"x": "much"}}, TypeError, "`max_loss` must be a number"),
        ({"output_kind": "boxes"}, ValueError, "`output_kind` must be one of None"),
        ({"output_kind": {"other": "logits"}}, ValueError, "output names as keys"),
        ({"output_kind": [("logits", 4)]}, ValueError, "must have 3 channels in all"),
        ({"output_kind": ["logits"]}, ValueError, "pairs of a kind and a channel"),
        (
            {"labels": np.ones(3), "verify": X},
            ValueError,
            "`labels` must have one label for each sample",
        ),
        ({"max_metric_drop": 0.1}, ValueError, "`max_metric_drop` needs `labels`"),
        (
            {"labels": np.ones(4), "max_metric_drop": 0.1},
            ValueError,
            "need the inputs as `verify`",
        ),
        (
            {"labels": np.ones(3), "max_metric_drop": 0.1, "verify": X},
            ValueError,
            "one label for each sample",
        ),
        (
            {"labels": [np.nan] * 4, "max_metric_drop": 0.1, "verify": X},
            ValueError,
            "`labels` must be finite",
        ),
        (
            {"labels": ["a"] * 4, "max_metric_drop": 0.1, "verify": X},
            ValueError,
            "`labels` must be numbers",
        ),
        (
            {**SCORED, "metric": "f1_score", "labels": np.ones(4)},
            ValueError,
            "`metric` must be computable from `labels`",
        ),
        (
            {**SCORED, "metric": "f1_score", "labels": np.ones((4, 3))},
            ValueError,
            "`metric` must give one finite number.*Average over the classes",
        ),
        ({"max_loss": {"other": 1.0}}, ValueError, "`max_loss` must have output names"),
        ({"metadata": {"licence": "MIT"}}, ValueError, "Did you mean 'license'"),
        ({"safe_mode": 0}, TypeError, "`safe_mode` must be True or False"),
        ({"verify": "nowhere"}, FileNotFoundError, "existing folder of images"),
        (
            {
                "quantization": "int8",
                "representative_data": X,
                "quantizer": "litert-quantizer",
                "input_type": "uint8",
            },
            ValueError,
            'must be "float32" or "int8" for litert-quantizer',
        ),
    ],
)
def test_refused(options, error, match, target):
    _refuse(options, error, match, target)


@pytest.mark.parametrize(
    "options",
    [
        {"quantization": "int4_weights"},
        {"quantization": {"dense": "dynamic"}},
        {"quantizer": "litert-quantizer", "quantization": "dynamic"},
    ],
)
def test_a_missing_quantizer_is_named(options, target, monkeypatch):
    monkeypatch.setitem(sys.modules, "litert_quantizer", None)
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if "litert" in name else 1
    )
    _refuse(options, ImportError, r"keras-strategies\[quantizer\]", target)


def test_code_in_a_file_is_refused(tmp_path):
    layers = [keras.Input((4,)), keras.layers.Lambda(lambda x: x * 2)]
    keras.Sequential(layers).save(tmp_path / "code.keras")
    with pytest.raises(ValueError, match=r"holds code.*pass safe_mode=False"):
        export.to_tflite(tmp_path / "code.keras", tmp_path / "model.tflite")
    (tmp_path / "text.keras").write_text("no model")
    with pytest.raises(ValueError, match="a .keras file that can be loaded"):
        export.to_tflite(tmp_path / "text.keras", tmp_path / "model.tflite")
    whole = (tmp_path / "code.keras").read_bytes()
    (tmp_path / "cut.keras").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"no archive.*damaged or cut off"):
        export.to_tflite(tmp_path / "cut.keras", tmp_path / "model.tflite")
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"code.keras", "cut.keras", "text.keras"}


def _refuse(options, error, match, target):
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
        def call(self, first, second=None):
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
