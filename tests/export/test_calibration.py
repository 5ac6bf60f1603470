"""Ranges from a float artifact: against TensorFlow's calibrator and the model's own
activations; written back, and handed to the LiteRT quantizer."""

import warnings

import keras
import numpy as np
import pytest

from keras_strategies.export._calibration import float_graph, range_collection
from keras_strategies.export.artifact import _interpreter
from keras_strategies.export.convert import _trace
from tests.export import models

pytestmark = pytest.mark.tensorflow
L = keras.layers


def _convert(model, folder, samples=None, batch_size=None):
    """Returns a float artifact, with TensorFlow's own ranges if given samples."""
    import tensorflow as tf

    _trace.write_saved_model(model, folder / "saved_model", batch_size)
    converter = tf.lite.TFLiteConverter.from_saved_model(
        str(folder / "saved_model"), signature_keys=[_trace.SIGNATURE]
    )
    if samples is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter._experimental_calibrate_only = True
        count = len(next(iter(samples.values())))
        converter.representative_dataset = lambda: (
            {name: value[i : i + 1] for name, value in samples.items()}
            for i in range(count)
        )
    with warnings.catch_warnings():  # its calibrator uses the deprecated interpreter
        warnings.simplefilter("ignore", UserWarning)
        return converter.convert()


def _quantized(content):
    from tensorflow.lite.python import convert

    return convert.mlir_quantize(content)


def _outputs(content, samples):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=1)
    runner = interpreter.get_signature_runner(_trace.SIGNATURE)
    (name, entry), (output, result) = (
        next(iter(details.items()))
        for details in (runner.get_input_details(), runner.get_output_details())
    )
    values, parts = samples[name], []
    if entry["dtype"] != np.float32:
        values = _interpreter.quantize(values, *entry["quantization"], entry["dtype"])
    for index in range(len(values)):
        part = runner(**{name: values[index : index + 1]})[output]
        if result["dtype"] != np.float32:
            part = _interpreter.dequantize(part, *result["quantization"])
        parts.append(part)
    return np.concatenate(parts)


def _ranges_inside(content):
    """Returns the ranges that a calibrated artifact holds, by tensor name."""
    model = float_graph.read_model(content)
    return {
        tensor.name.decode(): (tensor.quantization.min[0], tensor.quantization.max[0])
        for _, tensor in float_graph.float_activations(model)
        if range_collection._has_range(tensor)
    }


@pytest.fixture(scope="module")
def convolutional(tmp_path_factory):
    keras.utils.set_random_seed(1)
    model, shapes = models.convolutional()
    samples = models.samples(shapes)
    folder = tmp_path_factory.mktemp("calibration")
    return {
        "float": _convert(model, folder),
        "calibrated": _convert(model, folder, samples),
        "samples": samples,
    }


def test_minmax_is_what_tensorflow_records(convolutional):
    ranges, info = range_collection.collect_ranges(
        convolutional["float"], convolutional["samples"]
    )
    expected = _ranges_inside(convolutional["calibrated"])
    assert set(ranges) == set(expected) and len(ranges) == 7
    for name, (low, high) in expected.items():
        slack = 1e-5 * float(high - low)
        assert ranges[name] == pytest.approx((low, high), abs=slack)
    assert info["samples"] == 96 and info["method"] == "minmax"
    assert info["unseen"] == info["non_finite"] == [] and info["hidden_subgraphs"] == 0
    assert 0 <= info["moving"] <= 1


@pytest.mark.parametrize("source", ["calibrated", "float"])
def test_the_int8_model_from_these_ranges_is_tensorflows(convolutional, source):
    samples = convolutional["samples"]
    ranges, _ = range_collection.collect_ranges(convolutional["float"], samples)
    info = {}
    content = range_collection.write_ranges(convolutional[source], ranges, info)
    assert info == {"replaced": 7, "missing": []}
    expected = _outputs(_quantized(convolutional["calibrated"]), samples)
    actual = _outputs(_quantized(content), samples)
    # Rounding of a range may shift a level of the softmax, 1/256.
    np.testing.assert_allclose(actual, expected, atol=1 / 256 + 1e-6)
    assert (actual == expected).mean() > 0.99


def test_apply_replaces_only_what_it_is_told(convolutional):
    calibrated = convolutional["calibrated"]
    before = _ranges_inside(calibrated)
    name = next(iter(before))
    info = {}
    content = range_collection.write_ranges(
        calibrated, {name: (-7.0, 9.0), "no": (0, 1)}, info
    )
    after = _ranges_inside(content)
    assert after.pop(name) == (-7, 9) and before.pop(name) != (-7, 9)
    assert after == before and info["replaced"] == 1
    assert sorted(info["missing"]) == sorted(before)


def test_percentile_and_moving_average_are_narrower(convolutional):
    samples = {"image": convolutional["samples"]["image"].copy()}
    samples["image"][5, 3, 3] = 1e4  # one broken pixel
    found = {
        method: range_collection.collect_ranges(
            convolutional["float"], samples, method=method, percentile=99.9
        )[0]
        for method in ("minmax", "percentile", "moving_average")
    }
    for name, (low, high) in found["minmax"].items():
        for method in ("percentile", "moving_average"):
            assert low <= found[method][name][0] and found[method][name][1] <= high
    (image,) = (name for name in found["minmax"] if "serving_default" in name)
    assert found["minmax"][image][1] == 1e4
    expected = np.percentile(samples["image"], 99.9)
    assert found["percentile"][image][1] == pytest.approx(expected, rel=1 / 128)


def test_moving_ranges_are_told(convolutional):
    samples = {"image": convolutional["samples"]["image"].copy()}
    samples["image"][90:] *= 10
    _, info = range_collection.collect_ranges(convolutional["float"], samples)
    assert info["moving"] > 0.5 and not info["settled"]
    assert 1 <= len(info["moving_tensors"]) <= 5
    same = {"image": np.repeat(samples["image"][:1], 16, axis=0)}
    _, info = range_collection.collect_ranges(convolutional["float"], same)
    assert info["moving"] == 0 and info["settled"]
    _, info = range_collection.collect_ranges(
        convolutional["float"], {"image": samples["image"][:2]}
    )
    assert info["moving"] is None and not info["settled"]


def test_the_summand_of_a_residual_block_keeps_its_own_range(tmp_path):
    """TensorFlow's calibrator records the sum, written in place, in its stead."""
    inputs = keras.Input((8, 8, 4), name="image")
    hidden = L.Conv2D(4, 3, padding="same", activation="relu")(inputs)
    branch = L.Conv2D(4, 3, padding="same", name="branch")(hidden)
    branch = L.Rescaling(0.01, name="branch_scale")(branch)
    outputs = L.Conv2D(4, 3)(L.ReLU()(L.Add(name="sum")([hidden, branch])))
    model = keras.Model(inputs, outputs)
    samples = models.samples({"image": (8, 8, 4)}, count=16)
    ranges, _ = range_collection.collect_ranges(_convert(model, tmp_path), samples)
    inner = keras.Model(inputs, {"branch": branch, "outputs": outputs})
    for value in inner.predict(samples["image"], verbose=0).values():
        low, high = float(value.min()), float(value.max())
        distance = min(
            abs(low - found[0]) + abs(high - found[1]) for found in ranges.values()
        )
        assert distance < 1e-4 * (high - low)


def test_fixed_batch_several_inputs_and_a_short_last_batch(tmp_path):
    model, shapes = models.two_inputs_two_outputs()
    samples = models.samples(shapes, count=21)
    free, _ = range_collection.collect_ranges(
        _convert(model, tmp_path / "free"), samples
    )
    fixed = _convert(model, tmp_path / "fixed", batch_size=4)
    for method in ("minmax", "percentile"):
        ranges, info = range_collection.collect_ranges(
            fixed, samples, batch_size=4, method=method, percentile=100
        )
        assert info["samples"] == 21
        ends = sorted(np.round(end, 4) for pair in ranges.values() for end in pair)
        expected = sorted(np.round(end, 4) for pair in free.values() for end in pair)
        np.testing.assert_allclose(ends, expected, atol=2e-4)


def test_bodies_of_loops_are_left_alone(tmp_path):
    model = keras.Sequential(
        [keras.Input((6, 3), name="x"), L.LSTM(8), L.Dense(2, name="head")]
    )
    samples = models.samples({"x": (6, 3)}, count=12)
    content = _convert(model, tmp_path, batch_size=1)
    ranges, info = range_collection.collect_ranges(content, samples, batch_size=1)
    assert info["hidden_subgraphs"] == 2
    expected = model.predict(samples["x"], verbose=0)
    low, high = float(expected.min()), float(expected.max())
    assert any(
        found == pytest.approx((low, high), rel=1e-4, abs=1e-5)
        for found in ranges.values()
    )
    written = {}
    range_collection.write_ranges(content, ranges, written)
    assert written["replaced"] == len(ranges)


def test_the_litert_quantizer_takes_the_ranges(convolutional, tmp_path):
    from litert_quantizer import quantizer, recipe

    samples = convolutional["samples"]
    ranges, _ = range_collection.collect_ranges(convolutional["float"], samples)
    source = tmp_path / "float.tflite"
    source.write_bytes(convolutional["float"])
    tool = quantizer.Quantizer(str(source))
    tool.load_quantization_recipe(recipe.static_wi8_ai8())
    with warnings.catch_warnings():  # of the memory that its interpreters take
        warnings.simplefilter("ignore", UserWarning)
        content = tool.quantize(range_collection.as_qsv(ranges)).quantized_model
    expected = _outputs(convolutional["float"], samples)
    actual = _outputs(bytes(content), samples)
    assert len(content) < 0.4 * len(convolutional["float"])
    assert np.abs(actual - expected).max() < 0.1
