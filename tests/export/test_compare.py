"""A file against a Keras model: figures, gate, matching of names."""

import json

import keras
import numpy as np
import pytest

from keras_strategies import export
from keras_strategies.export.verify._comparison import _match_names
from tests.export import models

pytestmark = pytest.mark.tensorflow
L = keras.layers


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("compare")


@pytest.fixture(scope="module")
def two(folder):
    model, shapes = models.two_inputs_two_outputs()
    path = folder / "two.tflite"
    export.to_tflite(model, path)
    model.save(folder / "two.keras")
    return model, path, models.samples(shapes, 30)


def test_figures_are_those_of_the_outputs(two):
    model, path, samples = two
    found = export.compare(model, path, samples)
    expected = model.predict([samples["zeta"], samples["alpha"]], verbose=0)
    actual = export.TFLiteModel(path).predict(samples, verbose=0)
    worst = max(np.abs(expected[name] - actual[name]).max() for name in expected)
    assert found.samples == 30 and found.agreement == 1
    assert found.max_difference == pytest.approx(float(worst), rel=0.05, abs=1e-7)
    assert found.outputs["kind"]["kind"] == "top-1"
    assert found.outputs["value"]["tolerance"] == 1e-3
    assert "value" in str(found) and "1.0000 on 30 samples" in found.table()
    assert json.loads(json.dumps(found.to_dict()))["samples"] == 30


def test_another_model_disagrees_and_the_gate_holds(two):
    model, path, samples = two
    other = keras.models.clone_model(model)
    found = export.compare(other, path, samples)
    assert found.agreement < 0.9 and not found.passed
    assert {name: v.kind for name, v in found.verdicts.items()} == {
        "kind": "probabilities",
        "value": "regression",
    }
    assert "refused (regression)" in found.table()
    with pytest.raises(export.ExportError, match="times what is allowed"):
        export.compare(other, path, samples, max_loss=1)
    assert not export.compare(other, path, samples, min_agreement=0).passed
    with pytest.raises(export.ExportError, match="less than the 0.9 that") as caught:
        export.compare(other, path, samples, min_agreement=0.9)
    assert caught.value.reason == "disagreement"
    assert caught.value.details["agreement"] == found.agreement
    assert path.is_file()
    assert export.compare(other, path, samples, tolerance=1e6).outputs["value"][
        "agreement"
    ] == pytest.approx(1)


def test_tolerance_follows_the_quantization(folder):
    model, shapes = models.dense()
    inputs = model.inputs
    model = keras.Model(inputs, model.layers[-2].output)  # values, not classes
    samples = models.samples(shapes)
    expected = {"float32": 0.001, "float16": 0.01, "dynamic": 0.1, "int8": 0.15}
    for quantization, tolerance in expected.items():
        path = folder / f"{quantization}.tflite"
        export.to_tflite(
            model,
            path,
            quantization=quantization,
            representative_data=samples,
            min_agreement=0,
        )
        [output] = export.compare(model, path, samples).outputs.values()
        assert output["tolerance"] == tolerance


def test_a_file_of_another_converter_is_match_names_by_shape(folder):
    import tensorflow as tf

    left, right = keras.Input((3,), name="left"), keras.Input((5,), name="right")
    outputs = [L.Dense(2, name="a")(left), L.Dense(4, name="b")(right)]
    model = keras.Model([left, right], outputs)

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, 5), tf.float32, name="p"),
            tf.TensorSpec((None, 3), tf.float32, name="q"),
        ]
    )
    def serve(p, q):
        small, large = model([q, p])
        return {"u": large, "v": small}

    archive, saved = keras.export.ExportArchive(), str(folder / "saved")
    archive.track(model)
    archive.add_endpoint("serving_default", serve)
    archive.write_out(saved, verbose=False)
    path = folder / "foreign.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_saved_model(saved).convert())
    rng = np.random.default_rng(0)
    data = {"left": rng.normal(size=(9, 3)), "right": rng.normal(size=(9, 5))}
    found = export.compare(model, path, data)
    assert found.agreement == 1 and found.max_difference < 1e-5
    assert set(found.outputs) == {"a", "b"}


def test_what_cannot_be_match_names_is_said():
    ours = {"a": [None, 3], "b": [None, 3]}
    assert _match_names("inputs", ours, dict(ours)) == {"a": "a", "b": "b"}
    assert _match_names("outputs", {"a": [4, 2]}, {"x": [4, 9]}) == {"a": "x"}
    for theirs in (
        {"x": [None, 3], "y": [None, 3]},
        {"x": [None, 3], "y": [None, 4]},
        {"x": [None, 3]},
        {"a": [None, 3], "b": [None, 3], "c": [None, 1]},
    ):
        with pytest.raises(export.ExportError, match="cannot be matched"):
            _match_names("inputs", ours, theirs)
    with pytest.raises(export.ExportError, match="cannot be matched"):
        _match_names("outputs", {"a": [4, 2]}, {"x": [4, 2], "y": [4, 3]})


def test_keras_files_and_code_in_them(two, folder):
    _, path, samples = two
    assert export.compare(folder / "two.keras", path, samples).agreement == 1
    model = keras.Sequential([keras.Input((4,), name="x"), L.Lambda(lambda x: 2 * x)])
    model.save(folder / "code.keras")
    export.to_tflite(model, folder / "code.tflite")
    data = np.random.default_rng(0).normal(size=(5, 4))
    with pytest.raises(ValueError, match="safe_mode"):
        export.compare(folder / "code.keras", folder / "code.tflite", data)
    found = export.compare(
        folder / "code.keras", folder / "code.tflite", data, safe_mode=False
    )
    assert found.agreement == 1


def test_bad_arguments_are_named(two, folder):
    model, path, samples = two
    with pytest.raises(FileNotFoundError, match=r"existing \.keras file"):
        export.compare(folder / "none.keras", path, samples)
    with pytest.raises(FileNotFoundError, match=r"existing \.tflite file"):
        export.compare(model, folder / "none.tflite", samples)
    with pytest.raises(ValueError, match="`min_agreement` must be in"):
        export.compare(model, path, samples, min_agreement=1.5)
    with pytest.raises(ValueError, match="`tolerance` must be at least 0"):
        export.compare(model, path, samples, tolerance=-1)
    with pytest.raises(TypeError, match="`keras_model` must be a Model"):
        export.compare(3, path, samples)
    with pytest.raises(ValueError, match="`data` must have the keys"):
        export.compare(model, path, {"zeta": samples["zeta"]})
    bad = keras.models.clone_model(model)
    bad.set_weights([np.full(value.shape, np.nan) for value in model.weights])
    with pytest.raises(export.ExportError, match="Keras model itself") as caught:
        export.compare(bad, path, samples)
    assert caught.value.reason == "reference"


def _score_and_pixels():
    """A detector's head [x, y, score], and a file whose score is a constant."""
    inputs = keras.Input((4,), name="x")
    pixels = L.Rescaling(640.0)(L.Dense(2, activation="sigmoid")(inputs))
    score = L.Dense(1, activation="sigmoid", name="score")(inputs)
    model = keras.Model(inputs, L.Concatenate(name="head")([pixels, score]))
    broken = keras.models.clone_model(model)
    broken.set_weights(model.get_weights())
    kernel, bias = broken.get_layer("score").get_weights()
    broken.get_layer("score").set_weights([0 * kernel, bias])
    return model, broken


def test_labels_the_mode_and_the_kind_are_taken_at_their_word(folder):
    model, broken = _score_and_pixels()
    path = folder / "score.tflite"
    export.to_tflite(broken, path)
    x = np.random.default_rng(0).normal(size=(300, 4)).astype("float32")
    y = model.predict(x, verbose=0)
    found = export.compare(model, path, x, quantization="int8")
    assert not found.passed and found.quantization == "int8"
    assert found.verdicts["head"].worst == "channel 2"
    # With labels, too; a tuple is (inputs, labels) for a model with one input.
    found = export.compare(model, path, (x, y), quantization="int8")
    assert not found.passed
    with pytest.raises(ValueError, match="one label for each sample"):
        export.compare(model, path, (x, y[:9]))
    # The file of a good model, judged as int8 and as what it is.
    export.to_tflite(model, path)
    assert export.compare(model, path, (x, y), quantization="int8").passed
    found = export.compare(model, path, x, output_kind="regression")
    assert found.passed and found.verdicts["head"].kind == "regression"


def test_two_inputs_as_a_tuple_stay_two_inputs(two):
    model, path, samples = two
    pair = (samples["zeta"], samples["alpha"])
    assert export.compare(model, path, pair).samples == 30
    labels = {"kind": np.zeros(30, int), "value": np.zeros((30, 1))}
    assert export.compare(model, path, (samples, labels)).passed
    with pytest.raises(ValueError, match="output names as keys"):
        export.compare(model, path, (samples, {"other": labels["kind"]}))


def test_a_file_of_nan_does_not_pass(folder):
    model = models.tiny()
    broken = models.tiny()
    path = folder / "nan.tflite"
    export.to_tflite(broken, path)
    content = path.read_bytes()
    kernel = np.asarray(broken.layers[0].kernel).T.astype("float32")
    assert kernel.tobytes() in content
    path.write_bytes(content.replace(kernel.tobytes(), (kernel * np.nan).tobytes()))
    x = np.ones((5, 4))
    found = export.compare(model, path, x)
    assert not found.passed and "NaN" in str(found)
    with pytest.raises(export.ExportError) as caught:
        export.compare(model, path, x, min_agreement=0)
    assert caught.value.reason == "non-finite"


def test_the_state_of_the_model_is_not_moved(folder):
    lstm = L.LSTM(4, stateful=True)
    model = keras.Sequential(
        [keras.Input((4, 3), batch_size=1, name="x"), lstm, L.Dense(2)]
    )
    x = np.random.default_rng(0).normal(size=(20, 4, 3)).astype("float32")
    model(x[:1])
    before = [np.array(state) for state in lstm.states]
    path = folder / "state.tflite"
    result = export.to_tflite(model, path, verify=x)
    assert result.passed
    found = export.compare(model, path, x)
    assert found.passed and found.max_difference < 1e-5
    for state, value in zip(lstm.states, before, strict=True):
        np.testing.assert_array_equal(np.array(state), value)


class _Counter(L.Layer):
    """Adds the number of its calls, as running means and counters do."""

    def build(self, shape):
        # Left trainable, as is easily forgotten; and one that Keras does not know.
        self.calls = self.add_weight(shape=(), initializer="zeros", name="calls")
        import tensorflow as tf

        self.known_to_tensorflow = tf.Variable(0.0)

    def call(self, x):
        self.calls.assign_add(1.0)
        self.known_to_tensorflow.assign_add(1.0)
        return x + self.calls + self.known_to_tensorflow


@pytest.mark.parametrize("batch_size", [None, 4])
def test_a_counter_of_calls_is_compared_call_by_call_and_not_moved(folder, batch_size):
    counter = _Counter()
    model = keras.Sequential([keras.Input((3,)), counter])
    x = np.random.default_rng(0).normal(size=(10, 3)).astype("float32")
    path = folder / "counter.tflite"
    export.to_tflite(model, path, verify=x, batch_size=batch_size)
    assert export.compare(model, path, x).max_difference < 1e-5
    assert float(counter.calls.value) == 0 == float(counter.known_to_tensorflow)


def test_outputs_without_a_batch_axis_are_compared(folder):
    x = keras.Input((5,))
    model = keras.Model(x, [keras.ops.mean(x), keras.ops.mean(x, 0), L.Dense(2)(x)])
    samples = np.random.default_rng(0).normal(size=(12, 5)).astype("float32")
    path = folder / "means.tflite"
    export.to_tflite(model, path, verify=samples, batch_size=4)
    found = export.compare(model, path, samples)
    assert found.passed and found.max_difference < 1e-5
    assert any("as `data`" in text for text in found.warnings)


def test_a_file_of_another_model_is_told_by_its_inputs(two):
    _, path, samples = two
    wider = {name: np.concatenate([x, x], -1) for name, x in samples.items()}
    inputs = [keras.Input(x.shape[1:], name=name) for name, x in wider.items()]
    flat = [L.Flatten()(x) for x in inputs]
    model = keras.Model(inputs, [L.Dense(2)(x) for x in flat])
    with pytest.raises(export.ExportError, match="it is of another model"):
        export.compare(model, path, wider)
    with pytest.raises(ValueError, match="`max_loss` must have output names"):
        export.compare(two[0], path, samples, max_loss={"other": 1.0})
