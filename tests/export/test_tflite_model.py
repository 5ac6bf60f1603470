"""Files in use: predict, evaluate, signatures, contents, and damaged ones."""

import importlib.util
import os
import random
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_strategies import export
from keras_strategies.export._worker import sandbox
from keras_strategies.export.artifact import (
    _contents,
    _flatbuffer,
    _model_inputs,
    _opening,
)
from tests.export import models

pytestmark = pytest.mark.tensorflow
L = keras.layers


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("artifacts")


@pytest.fixture(scope="module")
def two(folder):
    """Two inputs, two outputs, float32 and free batch: `(model, path)`."""
    model, _ = models.two_inputs_two_outputs()
    path = folder / "two.tflite"
    export.to_tflite(model, path)
    return model, path


@pytest.fixture(scope="module")
def integers(folder):
    """An int8 network with uint8 images in and int8 classes out."""
    model, shapes = models.convolutional()
    path = folder / "integers.tflite"
    export.to_tflite(
        model,
        path,
        quantization="int8",
        representative_data=models.samples(shapes),
        input_type="uint8",
        output_type="int8",
    )
    return model, path, models.samples(shapes, 40)["image"]


@pytest.fixture(scope="module")
def fixed(folder):
    """A recurrent network of batch size 1."""
    model = keras.Sequential([keras.Input((5, 3), name="x"), L.LSTM(8), L.Dense(2)])
    path = folder / "fixed.tflite"
    export.to_tflite(model, path, batch_size=1)
    return model, path


def _pair(count):
    return models.samples({"zeta": (6,), "alpha": (10,)}, count)


def test_predict_gives_what_keras_gives_for_any_number_of_samples(two):
    model, path = two
    artifact = export.TFLiteModel(path)
    for count, size in ((1, 32), (7, 3), (40, 32), (64, 32)):
        x = _pair(count)
        expected = model.predict([x["zeta"], x["alpha"]], verbose=0)
        found = artifact.predict(x, batch_size=size, verbose=0)
        assert set(found) == {"kind", "value"}
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-5)
    called = artifact(x)
    np.testing.assert_allclose(called["kind"], found["kind"], rtol=1e-5, atol=1e-6)


def test_lists_tensors_datasets_and_sequences(two):
    import tensorflow as tf

    _, path = two
    artifact = export.TFLiteModel(path)
    x = _pair(10)
    expected = artifact(x)["value"]
    assert list(artifact.signatures["serving_default"]["inputs"]) == ["alpha", "zeta"]
    listed = [x["alpha"].astype("float64"), keras.ops.convert_to_tensor(x["zeta"])]
    np.testing.assert_allclose(artifact(listed)["value"], expected, rtol=1e-5)
    # 4, 4 and 2 samples; the last batch is filled up and cut.
    dataset = tf.data.Dataset.from_tensor_slices((x, np.zeros(10))).batch(4)
    found = artifact.predict(dataset, verbose=0)["value"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)

    class Halves(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return ({name: v[index * 5 :][:5] for name, v in x.items()},)

    found = artifact.predict(Halves(), verbose=0)["value"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_fixed_batch_is_looped(fixed):
    model, path = fixed
    x = np.random.default_rng(0).normal(size=(6, 5, 3))
    artifact = export.TFLiteModel(path)
    expected = model.predict(x, verbose=0)
    np.testing.assert_allclose(
        artifact.predict(x, verbose=0), expected, rtol=1e-4, atol=1e-5
    )
    batches = iter([x[:4], x[4:]])
    np.testing.assert_allclose(
        artifact.predict(batches, verbose=0), expected, rtol=1e-4, atol=1e-5
    )


def test_quantized_inputs_and_outputs_are_converted(integers):
    model, path, images = integers
    artifact = export.TFLiteModel(path)
    entry = artifact.signatures["serving_default"]["inputs"]["image"]
    assert entry["dtype"] == "uint8" and entry["scale"] > 0
    found = artifact.predict(images, verbose=0)
    assert found.dtype == "float32"
    expected = model.predict(images, verbose=0)
    assert (found.argmax(1) == expected.argmax(1)).mean() >= 0.95
    assert np.abs(found - expected).max() < 0.5

    raw = export.TFLiteModel(path, dequantize=False)
    levels = np.clip(np.round(images / entry["scale"]) + entry["zero_point"], 0, 255)
    integer = raw.predict(levels, verbose=0)
    assert integer.dtype == "int8"
    [output] = raw.signatures["serving_default"]["outputs"].values()
    real = (integer - np.float32(output["zero_point"])) * output["scale"]
    np.testing.assert_allclose(real, found, atol=1e-6)
    with pytest.raises(ValueError, match="must fit uint8"):
        raw(levels - 300)
    with pytest.raises(ValueError, match="must hold uint8 values"):
        raw(levels + 0.5)


def test_int16_activations_keep_their_levels():
    import tensorflow as tf

    values = np.linspace(-1, 1, 8, dtype="float32").reshape(1, 8)

    class Module(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((1, 8), tf.float32, name="x")])
        def serve(self, x):
            return {"y": tf.nn.relu(x) * 0.5}

    module = Module()
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [module.serve.get_concrete_function()], module
    )
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: iter([[values]])
    converter.target_spec.supported_ops = [
        tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
    ]
    converter.inference_input_type = converter.inference_output_type = tf.int16
    from keras_strategies.export.artifact._interpreter import Runner

    runner = Runner(converter.convert())
    [entries] = runner.inputs.values()
    [(name, entry)] = entries.items()
    assert entry["dtype"] == np.int16
    [found] = runner.run({name: values}).values()
    np.testing.assert_allclose(found, np.maximum(values, 0) * 0.5, atol=1e-3)


def test_evaluate_scores_as_keras_does(two, fixed):
    model, path = two
    rng = np.random.default_rng(3)
    x, weights = _pair(50), rng.random(50).astype("float32")
    targets = {"kind": rng.integers(0, 4, 50), "value": rng.normal(size=(50, 1))}
    artifact = export.TFLiteModel(path)
    metrics = {"kind": ["accuracy"], "value": ["mse", keras.metrics.MeanSquaredError()]}
    found = artifact.evaluate(
        x, targets, metrics, batch_size=16, verbose=0, sample_weight=weights
    )
    expected = model.predict([x["zeta"], x["alpha"]], verbose=0)
    right = expected["kind"].argmax(1) == targets["kind"]
    square = np.square(expected["value"] - targets["value"])[:, 0]
    assert set(found) == {
        "kind_accuracy",
        "value_mse",
        "value_mean_squared_error",
    }
    assert found["kind_accuracy"] == pytest.approx(
        (right * weights).sum() / weights.sum(), abs=1e-4
    )
    mean = pytest.approx((square * weights).sum() / weights.sum(), rel=1e-3)
    assert found["value_mse"] == mean and found["value_mean_squared_error"] == mean
    # One output alone, its targets alone.
    one = artifact.evaluate(x, targets["kind"], {"kind": "acc"}, verbose=0)
    assert one == {"kind_acc": pytest.approx(right.mean(), abs=1e-6)}

    model, path = fixed
    x = rng.normal(size=(9, 5, 3))
    answers = model.predict(x, verbose=0)
    batches = [(x[:6], np.eye(2)[answers[:6].argmax(1)]), (x[6:], np.eye(2)[[0] * 3])]
    found = export.TFLiteModel(path).evaluate(batches_of(batches), verbose=0)
    expected = (6 + (answers[6:].argmax(1) == 0).sum()) / 9
    assert found == {"accuracy": pytest.approx(expected)}


def batches_of(batches):
    yield from batches


@pytest.mark.parametrize(
    ("target", "output", "said"),
    [
        ((3,), (3, 4), "SparseCategoricalAccuracy"),
        ((3, 1), (3, 4), "SparseCategoricalAccuracy"),
        ((3, 4), (3, 4), "CategoricalAccuracy"),
        ((3,), (3, 1), "BinaryAccuracy"),
        ((3, 1), (3, 1), "BinaryAccuracy"),
        ((3, 5), (3, 5, 4), "SparseCategoricalAccuracy"),
    ],
)
def test_accuracy_is_the_one_of_compile(target, output, said):
    from keras_strategies.export.artifact._scoring import _accuracy_class

    assert _accuracy_class(np.zeros(target), np.zeros(output)).__name__ == said


BAD = [
    (lambda m: m(np.ones((2, 6))), "one array for each of"),
    (lambda m: m({"zeta": np.ones((2, 6))}), "must have the keys"),
    (lambda m: m([np.ones((2, 6))]), "must have 2 arrays, in the order of"),
    (lambda m: m(_pair(0)), "must not be empty"),
    (lambda m: m({"zeta": np.ones(6), "alpha": np.ones((1, 10))}), "sample axis"),
    (lambda m: m({"zeta": np.ones((2, 7)), "alpha": np.ones((2, 10))}), "shape .samp"),
    (lambda m: m({"zeta": np.ones((2, 6)), "alpha": np.ones((3, 10))}), "as many"),
    (
        lambda m: m({"zeta": np.ones((2, 6), "complex64"), "alpha": np.ones((2, 10))}),
        "must hold float32 values. Received: dtype='complex64'",
    ),
    (
        lambda m: m({"zeta": np.full((2, 6), "a"), "alpha": np.ones((2, 10))}),
        "must hold float32 values",
    ),
    (lambda m: m.predict(_pair(2), batch_size=0), "`batch_size` must be an integer"),
    (lambda m: m.predict(_pair(2), verbose=3), "`verbose` must be one of"),
    (lambda m: m.predict(iter([])), "must not be empty"),
    (lambda m: m.evaluate(_pair(2)), "`evaluate` needs targets"),
    (lambda m: m.evaluate(_pair(2), np.ones(2), {"king": "mse"}), "output names"),
    (lambda m: m.evaluate(_pair(2), np.ones(3), {"kind": "mse"}), "2 samples"),
    (lambda m: m.evaluate(_pair(2), np.ones(2), {"kind": "nse"}), "Keras metrics"),
    (lambda m: m.evaluate(_pair(2), np.ones(2), ()), "at least one metric"),
    (lambda m: m.evaluate(iter([_pair(2)]), np.ones(2)), "must be None if"),
    (lambda m: m.run("train"), "`signature` must be one of 'serving_default'"),
    (lambda m: m.run("serving_default", zeta=np.ones((1, 6))), "must have the keys"),
    (lambda m: m.benchmark(runs=0), "`runs` must be an integer"),
    (lambda m: m.benchmark(time_limit=0), "`time_limit` must be"),
]


@pytest.mark.parametrize(("use", "said"), BAD, ids=[said for _, said in BAD])
def test_bad_arguments_are_named(use, said, two):
    with pytest.raises(ValueError, match=said):
        use(export.TFLiteModel(two[1]))


def test_inputs_that_look_alike_need_names():
    slots = [_model_inputs.Slot(n, (None, 3), np.dtype("float32")) for n in ("a", "b")]
    with pytest.raises(ValueError, match="look alike"):
        _model_inputs.by_slot_name("x", [np.ones((1, 3)), np.zeros((1, 3))], slots)


@pytest.mark.parametrize(
    ("given", "wanted", "fits"),
    [
        ([1, 2], "int32", True),
        ([1.0, 2.0], "int32", True),
        ([1.5], "int32", False),
        ([2**40], "int32", False),
        ([np.nan], "int32", False),
        ([0, 1], "bool", True),
        ([0, 2], "bool", False),
        ([True], "float32", True),
        ([-1], "uint8", False),
    ],
)
def test_casts_lose_nothing(given, wanted, fits):
    slot = _model_inputs.Slot("x", (None,), np.dtype(wanted))
    if fits:
        found = _model_inputs.fit_to_slot("x", np.array(given), slot)
        assert found.dtype == wanted and (found == given).all()
    else:
        with pytest.raises(ValueError, match="`x` for 'x' must"):
            _model_inputs.fit_to_slot("x", np.array(given), slot)


def test_a_failed_shape_is_named_and_the_model_stays_of_use(folder):
    model = keras.Sequential(
        [
            keras.Input((None, None, 1), name="image"),
            L.Conv2D(4, 3),
            L.GlobalMaxPool2D(),
        ]
    )
    path = folder / "free.tflite"
    images = np.random.default_rng(0).random((4, 9, 9, 1))
    export.to_tflite(model, path, batch_size=4, verify=images)
    artifact = export.TFLiteModel(path)
    assert artifact.predict(images, verbose=0).shape == (4, 4)
    with pytest.raises(
        export.ExportError, match=r"inputs of shape .*2, 2, 1"
    ) as caught:
        artifact.predict(images[:, :2, :2], verbose=0)
    assert caught.value.reason == "run"
    np.testing.assert_allclose(
        artifact(images[:3]), model.predict(images[:3], verbose=0), atol=1e-5
    )


def test_signatures_share_their_state(folder):
    import tensorflow as tf

    class Counter(tf.Module):
        def __init__(self):
            self.total = tf.Variable(np.zeros(2, "float32"))

        @tf.function(input_signature=[tf.TensorSpec((2,), tf.float32, name="x")])
        def train(self, x):
            return {"total": self.total.assign_add(x)}

        @tf.function(input_signature=[tf.TensorSpec((None, 2), tf.float32, name="x")])
        def infer(self, x):
            return {"y": x * self.total}

    module, saved = Counter(), str(folder / "counter")
    tf.saved_model.save(module, saved, {"train": module.train, "infer": module.infer})
    converter = tf.lite.TFLiteConverter.from_saved_model(saved)
    converter.experimental_enable_resource_variables = True
    path = folder / "counter.tflite"
    path.write_bytes(converter.convert())
    artifact = export.TFLiteModel(path)
    assert set(artifact.signatures) == {"train", "infer"}
    for total in ([1, 2], [2, 4]):
        found = artifact.run("train", x=np.array([1.0, 2.0]))
        np.testing.assert_allclose(found["total"], total)
    np.testing.assert_allclose(artifact(np.ones((3, 2))), [[2, 4]] * 3)
    np.testing.assert_allclose(artifact.run("infer", x=np.ones((1, 2)))["y"], [[2, 4]])
    with pytest.raises(ValueError, match="must have shape"):
        artifact.run("train", x=np.ones(3))
    assert artifact.benchmark(runs=3).runs == 3
    # Another object has a state of its own.
    assert not export.TFLiteModel(path)(np.ones((1, 2))).any()


def test_weights_that_the_converter_lost_are_noticed(folder):
    """XNNPACK gives whatever is in memory for them, and no error."""
    import tensorflow as tf

    model = keras.Sequential([keras.Input((4,)), L.Dense(2)])
    spec = tf.TensorSpec((None, 4), tf.float32, name="x")
    serve = tf.function(lambda x: {"y": model(x)}, input_signature=[spec])
    module, saved = tf.Module(), str(folder / "untracked")
    module.model = model  # a Keras 3 model is nothing that tf.Module tracks
    tf.saved_model.save(module, saved, {"serving_default": serve})
    path = folder / "untracked.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_saved_model(saved).convert())
    with pytest.raises(export.ExportError, match="variables that nothing") as caught:
        export.TFLiteModel(path)
    assert caught.value.reason == "load"


def test_contents(two, integers):
    model, path = two
    artifact = export.TFLiteModel(path)
    assert artifact.ops()["FULLY_CONNECTED"] == 5
    rows = artifact.tensors()
    kernel = next(row for row in rows if row["shape"] == (64, 128))
    assert kernel["constant"] and kernel["bytes"] == 64 * 128 * 4
    assert kernel["dtype"] == "float32" and kernel["scales"] == 0
    source = next(row for row in rows if "zeta" in row["name"])
    assert not source["constant"] and source["bytes"] == 0
    assert artifact.metadata is None
    quantized = export.TFLiteModel(integers[1]).tensors()
    assert max(row["scales"] for row in quantized) > 1  # per channel
    assert {row["dtype"] for row in quantized} == {"int8", "uint8", "int32"}


def test_metadata_comes_back(folder):
    path = folder / "labelled.tflite"
    export.to_tflite(models.tiny(), path)
    export.write_metadata(path, {"labels": ["a", "b", "c"]})
    assert export.TFLiteModel(path).metadata["labels"] == ["a", "b", "c"]


@pytest.mark.parametrize("quantization", ["float32", "float16", "dynamic", "int8"])
def test_sparsity_counts_zero_weights(quantization, folder):
    model = keras.Sequential(
        [keras.Input((32,), name="x"), L.Dense(64, activation="relu"), L.Dense(8)]
    )
    rng = np.random.default_rng(0)
    fractions = [0.75, 0.5]
    for layer, zeros in zip(model.layers, fractions, strict=True):
        kernel, bias = layer.get_weights()
        flat = rng.uniform(0.5, 1.0, kernel.size)
        flat[rng.permutation(kernel.size)[: int(zeros * kernel.size)]] = 0
        layer.set_weights([flat.reshape(kernel.shape), bias])
    path = folder / f"sparse_{quantization}.tflite"
    x = rng.normal(size=(64, 32))
    export.to_tflite(
        model, path, quantization=quantization, representative_data=x, min_agreement=0
    )
    found = export.TFLiteModel(path).sparsity()
    total = (0.75 * 32 * 64 + 0.5 * 64 * 8) / (32 * 64 + 64 * 8)
    assert found["total"] == pytest.approx(total)
    assert sorted(found["tensors"].values()) == pytest.approx([0.5, 0.75])


def test_zero_points_count_as_zeros():
    from ai_edge_litert.tools import flatbuffer_utils as fb

    quantization = fb.QuantizationParametersT()
    quantization.zeroPoint, quantization.quantizedDimension = [1, 2], 0
    tensor = fb.TensorT()
    tensor.shape, tensor.quantization, tensor.buffer = [2, 3], quantization, 1
    tensor.name, tensor.type = b"w", fb.TensorType.INT8
    buffer, graph, model = fb.BufferT(), fb.SubGraphT(), fb.ModelT()
    buffer.data = np.array([1, 1, 5, 1, 2, 5], np.uint8)
    graph.tensors, model.subgraphs = [tensor], [graph]
    model.buffers = [fb.BufferT(), buffer]
    assert _contents.measure_sparsity(model)["total"] == pytest.approx(3 / 6)
    # Two 4-bit values in a byte, the low one first; the last half byte is padding.
    tensor.type, quantization.zeroPoint = fb.TensorType.INT4, [0]
    tensor.shape, buffer.data = [1, 5], np.array([0x0F, 0x10, 0x07], np.uint8)
    assert _contents.measure_sparsity(model)["total"] == pytest.approx(2 / 5)


def test_benchmark_runs_in_a_process_of_its_own(two, fixed):
    artifact = export.TFLiteModel(two[1])
    result = artifact.benchmark(runs=20, warmup=2, batch_size=4)
    assert 0 < result.min_ms <= result.median_ms <= result.p90_ms < 1000
    assert (result.runs, result.batch_size, result.xnnpack) == (20, 4, True)
    assert result.peak_memory is None or 0 < result.peak_memory < 2**30
    assert "median" in str(result) and result.to_dict()["threads"] == 1
    slow = artifact.benchmark(runs=5, xnnpack=False, threads=2)
    assert slow.xnnpack is False and slow.threads == 2 and slow.batch_size == 1
    with pytest.raises(ValueError, match="`batch_size` must be 1 or None"):
        export.TFLiteModel(fixed[1]).benchmark(batch_size=2)
    with pytest.raises(export.ExportError, match=r"longer than 0\.01 s") as caught:
        artifact.benchmark(time_limit=0.01)
    assert caught.value.reason == "timeout"


@pytest.mark.parametrize(
    "content",
    [b"", b"TFL3", b"\0" * 100, b"PK\3\4" + b"x" * 50, b"\x1c\0\0\0TFL3", None],
)
def test_what_is_no_artifact(content, two, tmp_path):
    path = tmp_path / "bad.tflite"
    content = two[1].read_bytes()[:-5000] if content is None else content
    path.write_bytes(content)
    with pytest.raises(export.ExportError, match="cannot be opened") as caught:
        export.TFLiteModel(path)
    assert caught.value.reason == "load" and str(path) in str(caught.value)
    with pytest.raises(export.ExportError):
        _flatbuffer.read(content)


def test_missing_files_and_flex(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"existing \.tflite file"):
        export.TFLiteModel(tmp_path / "none.tflite")
    with pytest.raises(TypeError, match="`path` must be a str or PathLike"):
        export.TFLiteModel(3)
    with pytest.raises(ValueError, match="`threads`"):
        export.TFLiteModel(tmp_path / "none.tflite", threads=0)
    import tensorflow as tf

    function = tf.function(lambda x: tf.math.erf(x)).get_concrete_function(
        tf.TensorSpec((2,), tf.float32)
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], tf.Module())
    converter.target_spec.supported_ops = [tf.lite.OpsSet.SELECT_TF_OPS]
    path = tmp_path / "flex.tflite"
    path.write_bytes(converter.convert())
    with pytest.raises(export.ExportError, match="Flex.*FlexErf") as caught:
        export.TFLiteModel(path)
    assert caught.value.reason == "flex"
    assert "FlexErf" in caught.value.details["ops"]


def test_a_file_that_crashes_the_interpreter_is_a_named_error(integers, tmp_path):
    """Sound as a flatbuffer, but with zero points far outside int8."""
    from ai_edge_litert.tools import flatbuffer_utils as fb

    model = fb.read_model(str(integers[1]))
    for tensor in model.subgraphs[0].tensors:
        if tensor.type == fb.TensorType.INT8 and tensor.quantization:
            tensor.quantization.zeroPoint = [-15925253] * len(
                tensor.quantization.zeroPoint
            )
    path = tmp_path / "crash.tflite"
    path.write_bytes(fb.convert_object_to_bytearray(model))
    with pytest.raises(export.ExportError, match=r"crash\.tflite'") as caught:
        export.TFLiteModel(path)
    assert caught.value.reason == "load"


def test_tables_that_point_nowhere_are_named(two, tmp_path):
    """Sound as a flatbuffer, but a signature names a tensor that is not there."""
    from ai_edge_litert.tools import flatbuffer_utils as fb

    model = fb.read_model(str(two[1]))
    model.signatureDefs[0].inputs[0].tensorIndex = 10**6
    content = bytes(fb.convert_object_to_bytearray(model))
    (tmp_path / "nowhere.tflite").write_bytes(content)
    for use in (export.TFLiteModel, lambda path: _flatbuffer.read(path.read_bytes())):
        with pytest.raises(export.ExportError) as caught:
            use(tmp_path / "nowhere.tflite")
        assert caught.value.reason == "load"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("import os; os.kill(os.getpid(), 11)", "crashes.*SIGSEGV while opening"),
        ("import time; time.sleep(60)", "longer than 0.5 s"),
        ("raise SystemExit('no room')", "failed: no room"),
    ],
)
def test_the_probe_shields_this_process(script, said, two, tmp_path, monkeypatch):
    (tmp_path / "script.py").write_text(script)
    monkeypatch.setattr(sandbox, "_SCRIPT", tmp_path / "script.py")
    monkeypatch.setattr(sandbox, "PROBE_TIME_LIMIT", 0.5)
    monkeypatch.setattr(_opening, "_probes", {})
    with pytest.raises(export.ExportError, match=said):
        export.TFLiteModel(two[1])


OTHER_BACKEND = """
import sys
sys.modules["tensorflow"] = None  # an import of it fails
import keras
import numpy as np
from keras_strategies import export
model = export.TFLiteModel(sys.argv[1])
x = {"zeta": np.ones((5, 6)), "alpha": keras.ops.ones((5, 10))}
kinds = model.predict(x, verbose=0)["kind"].argmax(1)
found = model.evaluate(x, kinds, {"kind": ["accuracy"]}, verbose=0)
assert found["kind_accuracy"] == 1, found
print(keras.backend.backend(), model.benchmark(runs=2).runs)
"""
BACKENDS = ("jax", pytest.param("torch", marks=pytest.mark.slow))
INSTALLED = [
    backend
    for backend, name in zip(BACKENDS, ("jax", "torch"), strict=True)
    if importlib.util.find_spec(name)
]


@pytest.mark.parametrize("backend", INSTALLED)
def test_other_backends_need_no_tensorflow(backend, two):
    done = subprocess.run(
        [sys.executable, "-c", OTHER_BACKEND, str(two[1])],
        capture_output=True,
        text=True,
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join(sys.path), "KERAS_BACKEND": backend},
    )
    assert done.stdout.split() == [backend, "2"], done.stderr[-2000:]


FUZZ = """
import pathlib, sys
import numpy as np
from keras_strategies import export
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.tflite")):
    try:
        model = export.TFLiteModel(path)
        entries = model.signatures[model.default_signature]["inputs"]
        model({name: np.ones([2 if s is None else s for s in entry["shape"]])
               for name, entry in entries.items()})
        model.tensors(), model.sparsity(), model.ops(), model.metadata
        print("ran")
    except (export.ExportError, ValueError) as error:
        print(getattr(error, "reason", "value"))
"""


@pytest.mark.slow
def test_damaged_files_never_end_the_process(two, integers, tmp_path):
    rng = random.Random(5)
    sources = [two[1].read_bytes(), integers[1].read_bytes()]
    for number in range(24):
        data = bytearray(sources[number % 2])
        if number % 3 == 0:
            data = data[: rng.randrange(8, len(data))]
        else:  # the tables are at the ends, weights between
            ends = (rng.randrange(8, 200), rng.randrange(len(data) * 3 // 4, len(data)))
            for place in ends if number % 3 == 1 else ends[1:]:
                data[place] = rng.randrange(256)
        (tmp_path / f"{number:02}.tflite").write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-c", FUZZ, str(tmp_path)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.split()
    assert len(lines) == 24 and lines.count("load") >= 8
    assert set(lines) <= {"load", "ran", "run", "value", "flex"}


def test_the_parser_names_what_is_wrong_with_random_bytes(two):
    rng = random.Random(2)
    data = two[1].read_bytes()
    refused = 0
    for _ in range(60):
        damaged = bytearray(data)
        damaged[rng.randrange(len(data) * 3 // 4, len(data))] = rng.randrange(256)
        damaged[rng.randrange(8, 64)] ^= 255
        try:
            _flatbuffer.read(bytes(damaged))
        except export.ExportError as error:
            refused += error.reason == "load"
    assert refused > 10
