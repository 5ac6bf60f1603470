"""What stands between a Keras model and LiteRT: erf, loops, masks, folders, names."""

import keras
import numpy as np
import pytest

from keras_strategies import compression, export
from keras_strategies.export._calibration import layer_names
from keras_strategies.export._common import image_folder, model_signature
from keras_strategies.export.convert import _messages, _trace
from keras_strategies.export.convert._substitutes import _erf
from tests.export import models
from tests.export.foreign import Erf

pytestmark = pytest.mark.tensorflow
L = keras.layers


def test_erf_is_within_its_bound():
    import tensorflow as tf

    x = np.linspace(-5, 5, 2001)
    difference = _erf.erf(tf.constant(x)) - tf.math.erf(tf.constant(x))
    assert np.abs(difference).max() <= 1.5e-7
    np.testing.assert_allclose(_erf.erfc(tf.constant(x)) + _erf.erf(tf.constant(x)), 1)


def test_a_bare_erf_is_replaced_and_said(target):
    model = keras.Sequential(
        [keras.Input((4,), name="x"), L.Dense(16), Erf(), L.Dense(8), Erf()]
    )
    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32") * 3
    for mode in ("float32", "float16", "dynamic"):
        result = export.to_tflite(model, target, quantization=mode, verify=x)
        assert result.warnings[0].startswith("2 x erf, which LiteRT does not have")
        assert not any(name.startswith("Flex") for name in result.ops)
        if mode == "float32":
            assert result.max_difference < 1e-5


def test_the_exact_gelu_of_a_layer_is_one_operation(target):
    model = keras.Sequential([keras.Input((4,)), L.Dense(8, activation="gelu")])
    result = export.to_tflite(model, target)
    assert result.ops["GELU"] == 1 and result.max_difference < 1e-6
    assert not any("erf" in text for text in result.warnings)


def test_recurrent_layers_take_one_sample_unless_told(target):
    model = keras.Sequential([keras.Input((5, 3), name="x"), L.LSTM(8), L.Dense(2)])
    result = export.to_tflite(model, target)
    assert result.signature["inputs"]["x"]["shape"] == [1, 5, 3]
    assert any("takes one sample at a time" in text for text in result.warnings)
    assert result.agreement == 1 and result.max_difference < 1e-5
    result = export.to_tflite(model, target, batch_size=4)
    assert result.signature["inputs"]["x"]["shape"] == [4, 5, 3]
    assert not any("one sample" in text for text in result.warnings)
    unrolled = keras.Sequential([keras.Input((5, 3)), L.LSTM(8, unroll=True)])
    result = export.to_tflite(unrolled, target)
    assert result.signature["inputs"]["input_0"]["shape"] == [None, 5, 3]


@keras.saving.register_keras_serializable(package="export_tests")
class Loop(L.Layer):
    """A loop that no layer class tells of."""

    def call(self, inputs):
        steps = keras.ops.swapaxes(inputs, 0, 1)
        zero = keras.ops.zeros_like(inputs[:, 0])
        _, outputs = keras.ops.scan(lambda c, x: (c + x, c + x), zero, steps)
        return outputs[-1]


def test_a_loop_of_a_custom_layer_gets_a_batch_of_one(target):
    model = keras.Sequential([keras.Input((5, 3), name="x"), Loop()])
    result = export.to_tflite(model, target)
    assert result.signature["inputs"]["x"]["shape"] == [1, 5, 3]
    assert result.agreement == 1


def test_masked_attention_survives_int8(target):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((12, 16), name="x")
    attention = L.MultiHeadAttention(2, 8)
    hidden = attention(inputs, inputs, use_causal_mask=True)
    model = keras.Model(inputs, L.Dense(4)(L.Flatten()(hidden)))
    # Scores of some size: without levels for them, attention is a plain mean.
    attention.query_dense.kernel.assign(attention.query_dense.kernel * 12)
    x = np.random.default_rng(0).normal(size=(128, 12, 16)).astype("float32")
    for mode in ("int8", "int16x8"):
        result = export.to_tflite(
            model, target, quantization=mode, representative_data=x, max_loss=4
        )
        spread = np.ptp(model.predict(x, verbose=0))
        assert result.max_difference < (0.15 if mode == "int8" else 0.05) * spread


def test_operations_are_named_after_their_layers(tmp_path):
    inner = keras.Sequential(
        [keras.Input((6, 6, 4)), L.Conv2D(4, 3, name="conv"), L.ReLU()], name="inner"
    )
    inputs = keras.Input((8, 8, 3))
    hidden = L.Conv2D(4, 3, name="conv")(inputs)
    model = keras.Model(inputs, L.Dense(2, name="conv_1")(inner(hidden)), name="outer")
    for _ in range(2):  # a second trace names them as the first
        layers = _trace.write_saved_model(model, tmp_path / "saved")
        wanted = {
            "outer/conv": "Conv2D",
            "outer/inner/conv": "Conv2D",
            "outer/conv_1": "Dense",
        }
        assert wanted.items() <= layers.items()
    assert layer_names.layer_of("outer/inner/conv/Relu", layers) == "outer/inner/conv"
    assert layer_names.layer_of("outer/conv_1_1/MatMul", layers) == "outer"
    assert layer_names.layer_of("other/conv", layers) is None


def _write_images(folder, count=30):
    rng = np.random.default_rng(0)
    for index in range(count):
        place = folder / ("a" if index % 2 else "b")
        place.mkdir(parents=True, exist_ok=True)
        image = rng.integers(0, 256, (10 + index % 3, 12, 3))
        keras.utils.save_img(place / f"{index}.png", image, scale=False)


def test_a_folder_of_images(tmp_path, target):
    _write_images(tmp_path / "images")
    model, _ = models.convolutional()
    specs = model_signature.input_specs(model)[1]
    images = image_folder.read_images("verify", tmp_path / "images", specs, 20)
    assert images.shape == (20, 12, 12, 1) and 0 <= images.min() < images.max() <= 255
    again = image_folder.read_images("verify", tmp_path / "images", specs, 20)
    np.testing.assert_array_equal(images, again)
    half = image_folder.read_images(
        "verify", tmp_path / "images", specs, 20, {"mean": 127.5, "std": 127.5}
    )
    np.testing.assert_allclose(half, images / 127.5 - 1, atol=1e-5)
    result = export.to_tflite(
        model,
        target,
        quantization="int8",
        representative_data=tmp_path / "images",
        min_agreement=0.8,
    )
    assert result.calibration["samples"] == 30
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="folder with images"):
        export.to_tflite(model, target, verify=tmp_path / "empty")
    with pytest.raises(ValueError, match="one image input"):
        export.to_tflite(models.tiny(), target, verify=tmp_path / "images")


@pytest.mark.parametrize("method", ["percentile", "moving_average"])
def test_calibration_methods(method, target):
    model, shapes = models.convolutional()
    samples = models.samples(shapes)
    samples["image"][0] *= 40  # one sample unlike the others
    result = export.to_tflite(
        model,
        target,
        quantization="int8",
        representative_data=samples,
        calibration=method,
        percentile=99.0,
        verify=models.samples(shapes),
        max_loss=5.0,  # random weights, with probabilities of 0 and 1
    )
    widest = export.to_tflite(
        model,
        target,
        quantization="int8",
        representative_data=samples,
        min_agreement=0.0,
        verify=models.samples(shapes),
    )
    assert result.calibration["method"] == method
    assert result.mean_difference < widest.mean_difference


def test_few_samples_are_said(target):
    result = export.to_tflite(
        models.tiny(),
        target,
        quantization="int8",
        representative_data=np.random.default_rng(0).normal(size=(3, 4)),
        min_agreement=0,
    )
    assert any("too few to say" in text for text in result.warnings)
    assert result.calibration["settled"] is False


def test_a_constant_model_is_said(target):
    model = models.tiny()
    model.set_weights([np.zeros(w.shape) for w in model.weights])
    result = export.to_tflite(model, target)
    assert any("means nothing" in text for text in result.warnings)


def test_metadata_is_in_the_verified_file(target):
    metadata = {"author": "A", "labels": ["a", "b", "c"]}
    result = export.to_tflite(models.tiny(), target, metadata=metadata)
    assert export.read_metadata(target) == metadata
    assert result.bytes == target.stat().st_size
    with pytest.raises(ValueError, match="labels"):
        export.to_tflite(models.tiny(), target, metadata={"labels": ["a", "b"]})
    assert export.read_metadata(target) == metadata


def test_a_dead_converter_is_blamed_on_the_likeliest_layer():
    dense = L.Dense(4)
    plain = keras.Sequential([keras.Input((4,)), dense])
    assert "export parts of the model" in _messages.crash_hint(plain)
    custom = keras.Sequential([keras.Input((4,)), dense, Erf()])
    assert "at fault: Erf." in _messages.crash_hint(custom)
    inputs = keras.Input((3, 4))
    attention = keras.Model(inputs, L.MultiHeadAttention(1, 4)(inputs, inputs))
    assert "at fault: MultiHeadAttention." in _messages.crash_hint(attention)
    looping = keras.Sequential([keras.Input((3, 4)), L.Bidirectional(L.GRU(4))])
    assert "loops of GRU" in _messages.crash_hint(looping)


def test_a_quantize_aware_model_needs_no_data(target):
    model, shapes = models.convolutional()
    samples = models.samples(shapes)
    aware = compression.quantize_aware(model)
    result = export.to_tflite(aware, target, quantization="int8", min_agreement=0)
    assert any("not learned the ranges" in text for text in result.warnings)
    aware.compile("sgd", "sparse_categorical_crossentropy")
    aware.fit(samples["image"], np.zeros(96), verbose=0)
    result = export.to_tflite(
        aware,
        target,
        quantization="int8",
        verify=samples,
        input_type="int8",
        output_type="uint8",
    )
    assert "float32" not in result.tensor_types
    assert result.calibration_samples == 0 and result.calibration is None
    [entry] = result.signature["outputs"].values()
    assert entry["dtype"] == "uint8"
    assert not any("ranges" in text for text in result.warnings)
    # What is learned wins: the data only serve to check the file.
    first = target.read_bytes()
    result = export.to_tflite(
        aware,
        target,
        quantization="int8",
        representative_data=samples,
        input_type="int8",
        output_type="uint8",
    )
    assert target.read_bytes() == first
    assert result.verified_on == "representative_data" and result.samples == 96
    assert result.calibration is None
    result = export.to_tflite(
        aware, target, quantization="auto", representative_data=samples
    )
    modes = [entry["mode"] for entry in result.search["candidates"]]
    assert modes == ["float32", "int8"] and result.quantization == "int8"


@pytest.mark.parametrize("quantization", ["int16x8", {"conv2d": "int8"}])
def test_a_quantize_aware_model_is_not_rounded_otherwise(target, quantization):
    inputs = np.ones((8, 4), "float32")
    aware = compression.quantize_aware(
        keras.Sequential([keras.Input((4,)), L.Dense(2)])
    )
    with pytest.raises(ValueError, match="by its own roundings"):
        export.to_tflite(
            aware, target, quantization=quantization, representative_data=inputs
        )
    with pytest.raises(ValueError, match="must have learned its ranges"):
        export.to_tflite(aware, target, quantization="int8", representative_data=inputs)
    aware(inputs, training=True)
    with pytest.raises(ValueError, match="`rescue` must be given for a float model"):
        export.to_tflite(
            aware,
            target,
            quantization="int8",
            representative_data=inputs,
            rescue=["correct_bias"],
        )
    for refuse in (export.correct_bias, export.sensitivity, export.debug_quantization):
        with pytest.raises(ValueError, match="not a quantization-aware one"):
            refuse(aware, inputs)
    assert not target.exists()


def test_outputs_without_a_batch_axis(target):
    inputs = keras.Input((4,), name="x")
    outputs = {
        "mean": keras.ops.mean(inputs),
        "table": keras.ops.cast(inputs[0, :3] * 0 + 2.0, "float32"),
        "rows": L.Dense(2)(inputs),
    }
    model = keras.Model(inputs, outputs)
    x = np.random.default_rng(0).normal(size=(100, 4)).astype("float32")
    result = export.to_tflite(model, target, verify=x)
    assert result.passed and result.signature["outputs"]["mean"]["shape"] == []
    result = export.to_tflite(model, target, verify=x, batch_size=10)
    assert result.passed and result.max_difference < 1e-5
