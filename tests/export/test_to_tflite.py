"""Real exports: model kinds by quantization, and what must be refused."""

import os
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

from keras_strategies import export
from keras_strategies.export._common import model_signature, named_arrays
from keras_strategies.export._worker import converter_client
from tests.export import models
from tests.export.foreign import (
    CumulativeLogsumexp,
    Halve,
    Subclassed,
    TwoArguments,
)

pytestmark = pytest.mark.tensorflow
L = keras.layers


def _interpret(path, feed):
    """Runs the file in a fresh interpreter here, independently of the worker."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=1)
    return interpreter.get_signature_runner("serving_default")(**feed)


def test_the_file_gives_what_the_model_gives(target):
    model, shapes = models.two_inputs_two_outputs()
    samples = models.samples(shapes, count=1)
    result = export.to_tflite(model, target, verify=samples)
    outputs = _interpret(target, samples)
    expected = model.predict([samples["zeta"], samples["alpha"]], verbose=0)
    assert set(outputs) == {"kind", "value"} == set(result.outputs)
    for name, value in expected.items():
        np.testing.assert_allclose(outputs[name], value, rtol=1e-4, atol=1e-5)
    assert result.agreement == 1 and result.max_difference < 1e-4
    assert result.outputs["kind"]["kind"] == "top-1"
    assert result.outputs["value"]["kind"] == "values"


@pytest.mark.parametrize("integer", ["int8", "uint8"])
def test_integer_inputs_and_outputs(integer, target):
    model, shapes = models.convolutional()
    samples = models.samples(shapes)
    result = export.to_tflite(
        model,
        target,
        quantization="int8",
        representative_data=samples,
        input_type=integer,
        output_type=integer,
    )
    [entry] = result.signature["inputs"].values()
    assert entry["dtype"] == integer and entry["scale"] > 0
    assert entry["shape"] == [None, 12, 12, 1]
    [output] = result.signature["outputs"].values()
    assert output["dtype"] == integer
    assert "float32" not in result.tensor_types
    levels = np.clip(
        np.round(samples["image"][:1] / entry["scale"]) + entry["zero_point"],
        np.iinfo(integer).min,
        np.iinfo(integer).max,
    )
    [found] = _interpret(target, {"image": levels.astype(integer)}).values()
    found = (found.astype("float32") - output["zero_point"]) * output["scale"]
    expected = model.predict(samples["image"][:1], verbose=0)
    assert np.abs(found - expected).max() < 0.1


def test_custom_subclassed_training_layers_and_file_route(tmp_path):
    model = Subclassed(3)
    ones = np.ones((2, 4), "float32")
    model({"left": ones, "right": ones})
    result = export.to_tflite(model, tmp_path / "a.tflite")
    assert set(result.signature["inputs"]) == {"left", "right"}
    assert result.outputs["positive"]["agreement"] == 1
    # What the JAX and Torch backends do: the worker loads a .keras file.
    source, saved = tmp_path / "model.keras", tmp_path / "saved"
    layered = keras.Sequential(
        [keras.Input((4,), name="x"), Halve(), L.Dropout(0.5), L.Dense(2)]
    )
    layered.save(source)
    ask = {"keras_file": str(source), "saved_model": str(saved)}
    ask |= {"modules": ["tests.export.foreign"], "batch_size": None}
    worker = converter_client.shared_client()
    worker.request("convert._conversion.trace", ask, time_limit=60, action="tracing")
    assert (saved / "saved_model.pb").is_file()
    # The same file as the model of an export.
    x = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
    result = export.to_tflite(source, tmp_path / "b.tflite", verify=x)
    [found] = _interpret(tmp_path / "b.tflite", {"x": x[:1]}).values()
    np.testing.assert_allclose(
        found, layered.predict(x[:1], verbose=0), rtol=1e-4, atol=1e-6
    )


def test_subclassed_call_of_several_arguments(target):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(64, 4)).astype("float32")
    ids = rng.integers(0, 5, size=64)
    model = TwoArguments()
    model(values, ids)
    data = {"values": values, "ids": ids}
    result = export.to_tflite(model, target, verify=data)
    inputs = {
        k: (v["shape"], v["dtype"]) for k, v in result.signature["inputs"].items()
    }
    assert inputs == {"values": ([None, 4], "float32"), "ids": ([None], "int32")}
    expected = keras.ops.convert_to_numpy(model(values[:3], ids[:3]))
    [found] = _interpret(
        target, {"values": values[:3], "ids": ids[:3].astype("int32")}
    ).values()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    # The same without names, as representative data, and for a comparison.
    export.to_tflite(model, target, representative_data=[values, ids])
    assert export.compare(model, target, (data, np.zeros((64, 3)))).passed
    with pytest.raises(
        ValueError, match=r"call='\(values, ids\)'.*build\(self, values_"
    ):
        export.to_tflite(model, target)
    # An argument that need not be given.
    data["scale"] = rng.uniform(1, 2, size=(64, 1)).astype("float32")
    result = export.to_tflite(model, target, verify=data)
    assert result.passed and set(result.signature["inputs"]) == set(data)


def test_the_model_is_left_as_it_was(target):
    model, shapes = models.two_inputs_two_outputs()
    model.compile("sgd", {"kind": "categorical_crossentropy", "value": "mse"})
    before, config = model.get_weights(), model.get_config()
    export.to_tflite(model, target, quantization="dynamic")
    assert model.get_config() == config
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    samples = models.samples(shapes, 8)
    targets = {"kind": np.eye(4)[np.arange(8) % 4], "value": np.ones((8, 1))}
    history = model.fit(samples, targets, verbose=0)
    assert np.isfinite(history.history["loss"][0])


def test_integer_and_boolean_inputs(target):
    ids = keras.Input((6,), dtype="int32", name="ids")
    keep = keras.Input((1,), dtype="bool", name="keep")
    hidden = L.GlobalAveragePooling1D()(L.Embedding(20, 8)(ids))
    outputs = L.Dense(3)(hidden) * keras.ops.cast(keep, "float32")
    model = keras.Model([ids, keep], outputs)
    result = export.to_tflite(model, target)
    assert result.signature["inputs"]["ids"]["dtype"] == "int32"
    assert result.signature["inputs"]["keep"]["dtype"] == "bool"
    assert "made-up" in result.warnings[0]
    assert result.samples == 64


def test_mixed_precision_is_exported_in_float32(target):
    keras.config.set_dtype_policy("mixed_float16")
    model, shapes = models.convolutional()
    samples = models.samples(shapes)
    policies = [layer.dtype_policy.name for layer in model.layers]
    result = export.to_tflite(model, target, verify=samples)
    assert [layer.dtype_policy.name for layer in model.layers] == policies
    assert "half precision" in result.warnings[0]
    assert "float16" not in result.tensor_types
    with model_signature.float32_compute(model):
        expected = np.asarray(model(samples["image"][:1], training=False))
    [found] = _interpret(target, {"image": samples["image"][:1]}).values()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_free_axes_and_a_batch_of_four(target):
    model = keras.Sequential(
        [
            keras.Input((None, None, 1), name="image"),
            L.Conv2D(4, 3),
            L.GlobalMaxPool2D(),
        ]
    )
    images = np.random.default_rng(0).random((10, 9, 7, 1))
    result = export.to_tflite(model, target, batch_size=4, verify=images)
    assert result.samples == 10
    assert result.signature["inputs"]["image"]["shape"] == [4, None, None, 1]


def test_nothing_to_quantize_is_said(target):
    result = export.to_tflite(models.tiny(), target, quantization="dynamic")
    assert any("Nothing was quantized" in text for text in result.warnings)


def test_flex_is_refused_unless_allowed(target):
    target.write_bytes(b"kept")
    name = "CumulativeLogsumexp"
    stack = [keras.Input((4,)), L.Dense(4), CumulativeLogsumexp(name="mine")]
    model = keras.Sequential(stack)
    said = rf"does not have: {name} in 'mine' \({name}\)"
    with pytest.raises(export.ExportError, match=said) as caught:
        export.to_tflite(model, target)
    assert caught.value.reason == "flex"
    assert caught.value.details == {"ops": [name], "layers": {"mine": name}}
    assert target.read_bytes() == b"kept"
    result = export.to_tflite(model, target, allow_flex=True)
    assert not result.verified and result.agreement is None
    assert result.ops[f"Flex{name}"] == 1
    assert "Not verified" in result.warnings[-1] and "not verified" in result.table()
    with pytest.raises(export.ExportError, match="does not have"):
        export.to_tflite(
            model, target, quantization="int8", representative_data=np.ones((9, 4))
        )


def _damage(monkeypatch, change):
    """Lets the outputs that come back from the worker be changed."""
    load = named_arrays.load
    monkeypatch.setattr(
        named_arrays,
        "load",
        lambda path: {name: change(value.copy()) for name, value in load(path).items()},
    )


def test_a_disagreeing_artifact_is_refused(target, monkeypatch):
    target.write_bytes(b"kept")
    model, shapes = models.dense()
    samples = models.samples(shapes)
    _damage(monkeypatch, lambda value: value[:, ::-1])
    with pytest.raises(export.ExportError, match="Nothing was written") as caught:
        export.to_tflite(model, target, verify=samples)
    assert caught.value.reason == "disagreement"
    assert caught.value.details["agreement"] < 0.9
    assert os.listdir(target.parent) == [target.name]
    assert target.read_bytes() == b"kept"
    result = export.to_tflite(model, target, verify=samples, min_agreement=0)
    assert result.agreement == caught.value.details["agreement"]


def test_a_non_finite_artifact_is_refused_and_kept_aside(target, monkeypatch):
    def spoil(value):
        value[3] = np.nan
        return value

    _damage(monkeypatch, spoil)
    with pytest.raises(export.ExportError, match="NaN or infinity") as caught:
        export.to_tflite(models.tiny(), target, keep_rejected=True, min_agreement=0)
    assert caught.value.reason == "non-finite"
    assert str(caught.value).endswith(
        f"The refused file is kept as '{target}.rejected'."
    )
    assert os.listdir(target.parent) == ["model.tflite.rejected"]
    rejected = target.with_name("model.tflite.rejected")
    _interpret(rejected.rename(target), {"x": np.ones((1, 4), "float32")})


def test_weights_that_overflow_float16_are_refused(target):
    # The converter clips them to 65504 without a word.
    model = keras.Sequential([keras.Input((4,), name="x"), L.Dense(512), L.Dense(3)])
    weights = [
        np.full(value.shape, 1e6 if len(value.shape) == 2 else 0)
        for value in model.weights
    ]
    model.set_weights(weights)
    with pytest.raises(export.ExportError, match="agrees") as caught:
        export.to_tflite(model, target, quantization="float16")
    assert caught.value.reason == "disagreement"
    assert not target.exists()


def test_calibration_unlike_the_data_is_refused(target):
    model, shapes = models.nested()
    samples = models.samples(shapes)
    narrow = {"image": samples["image"] * 0.01}
    with pytest.raises(export.ExportError, match="agrees") as caught:
        export.to_tflite(
            model,
            target,
            quantization="int8",
            representative_data=narrow,
            verify=samples,
        )
    assert caught.value.reason == "disagreement"
    assert not target.exists()


SCRIPT = """
import os, sys
import keras
from keras_strategies import export
from keras_strategies.export._worker import converter_client
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
export.to_tflite(model, sys.argv[1])
print(converter_client.shared_client().pid, flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.mark.slow  # in every run: the same of the bare worker, in test_client.py
def test_stdout_is_clean_and_no_worker_outlives_its_parent(target):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(target)], capture_output=True, text=True
    )
    assert done.returncode == -9, done.stderr
    assert target.exists()
    pid = int(done.stdout)  # nothing else was printed
    limit = time.monotonic() + 60
    while os.path.exists(f"/proc/{pid}") and time.monotonic() < limit:
        time.sleep(0.1)
    assert not os.path.exists(f"/proc/{pid}")


def test_one_worker_serves_and_its_death_is_a_named_error(target, monkeypatch):
    """Killed while converting, out of time."""
    model = models.tiny()
    export.to_tflite(model, target)
    worker = converter_client.shared_client()
    pid = worker.pid
    export.to_tflite(model, target)
    assert worker.pid == pid
    before = target.read_bytes()
    send = converter_client.ConverterClient._send

    def send_and_kill(self, request, *rest):
        send(self, request, *rest)
        time.sleep(0.1)  # a conversion takes longer
        os.kill(pid, 9)

    with monkeypatch.context() as patch:
        patch.setattr(converter_client.ConverterClient, "_send", send_and_kill)
        with pytest.raises(export.ExportError, match="SIGKILL.*converting") as caught:
            export.to_tflite(model, target)
    assert caught.value.reason == "crash"
    assert target.read_bytes() == before
    assert export.to_tflite(model, target).agreement == 1
    assert worker.pid not in (None, pid)

    with pytest.raises(export.ExportError, match="longer than 0.01 s") as caught:
        export.to_tflite(model, target, time_limit=0.01)
    assert caught.value.reason == "timeout"
    assert target.read_bytes() == before
