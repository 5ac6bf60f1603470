"""Metadata: round trips, equal results, everything else kept, refusals."""

import io
import json
import os
import struct
import zipfile

import keras
import numpy as np
import pytest

from keras_strategies import export
from keras_strategies.export.artifact import _flatbuffer, _metadata
from keras_strategies.export.artifact._standard import (
    metadata_flatbuffer,
)
from tests.export import models

pytestmark = pytest.mark.tensorflow
FULL = {
    "name": "Tiere, klein",
    "description": "Says what is on the picture.\n2nd line",
    "version": "1.0.2",
    "author": "Ä. Nonymous",
    "license": "Apache-2.0",
    "labels": ["cat", "dog", "猫"],
    "normalization": {
        "mean": [1.0, 2.0],
        "std": [3.0, 4.0],
        "scale": 2.0,
        "offset": 0.0,
    },
    "extra": {"trained_on": ["a", 1, None], "nested": {"deep": True}},
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    path = tmp_path_factory.mktemp("metadata") / "tiny.tflite"
    export.to_tflite(models.tiny(), path)
    return path.read_bytes()


def _run(content, signature="serving_default", **feed):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=1)
    return interpreter.get_signature_runner(signature)(**feed)


def _equal(first, second, signature="serving_default", **feed):
    expected = _run(first, signature, **feed)
    found = _run(second, signature, **feed)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)


X = np.arange(4, dtype="float32")[None]


def test_round_trip(tiny, target):
    target.write_bytes(tiny)
    target.chmod(0o640)
    assert export.read_metadata(target) is None
    assert export.write_metadata(target, FULL) == FULL
    assert export.read_metadata(str(target)) == FULL
    assert target.stat().st_mode & 0o777 == 0o640
    assert os.listdir(target.parent) == [target.name]
    content = target.read_bytes()
    assert tiny in content and len(content) - len(tiny) < 2500
    _equal(tiny, content, x=X)
    # The old ones are gone, not hidden, and `{}` restores the very file.
    export.write_metadata(target, {"version": "2"})
    assert export.read_metadata(target) == {"version": "2"}
    assert b"Nonymous" not in target.read_bytes()
    export.write_metadata(target, {})
    assert target.read_bytes() == tiny


def test_every_length_is_aligned(tiny):
    for length in range(70):
        content = _metadata.write(tiny, {"name": "n" * length})
        assert _metadata.read(content) == {"name": "n" * length}
        assert (len(content) - len(tiny)) % 64 == 0
        if length % 9 == 0:
            _equal(tiny, content, x=X)


def test_other_entries_stay_and_another_tools_rewrite_is_understood(tiny):
    from ai_edge_litert.tools import flatbuffer_utils

    others = metadata_flatbuffer.entries(tiny)
    assert "min_runtime_version" in others
    content = _metadata.write(tiny, FULL)
    present = metadata_flatbuffer.entries(content)
    assert present.pop("TFLITE_METADATA")[4:8] == b"M001"
    assert present == others | {
        "keras_strategies": json.dumps(FULL, ensure_ascii=False).encode()
    }
    parsed = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    rewritten = bytes(flatbuffer_utils.convert_object_to_bytearray(parsed))
    assert _metadata.read(rewritten) == FULL
    changed = _metadata.write(rewritten, {"name": "new"})
    assert _metadata.read(changed) == {"name": "new"}
    assert [*metadata_flatbuffer.entries(changed)].count("keras_strategies") == 1
    _equal(tiny, changed, x=X)
    removed = _metadata.write(rewritten, {})
    assert _metadata.read(removed) is None
    assert metadata_flatbuffer.entries(removed) == others
    # An entry put on top by another envelope hides ours from `unwrap`.
    above = metadata_flatbuffer.wrap(content, {"other": b"kept"})
    changed = _metadata.write(above, {"name": "new"})
    assert metadata_flatbuffer.entries(changed)["other"] == b"kept"
    assert _metadata.read(changed) == {"name": "new"}
    _equal(tiny, changed, x=X)


def test_files_packed_behind_are_packed_again(tiny):
    packed = io.BytesIO(tiny)
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr("labels.txt", "cat\ndog\n")
        archive.writestr("deep/more.txt", "m" * 999, zipfile.ZIP_DEFLATED)
    content = _metadata.write(packed.getvalue(), FULL)
    assert _metadata.read(content) == FULL
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        assert archive.read("labels.txt") == b"cat\ndog\n"
        assert archive.read("deep/more.txt") == b"m" * 999
        # Readers less lenient than Python's take positions as they stand.
        offset = archive.getinfo("labels.txt").header_offset
        assert content[offset : offset + 4] == b"PK\x03\x04"
        start = struct.unpack_from("<I", content, content.rindex(b"PK\5\6") + 16)[0]
        assert content[start : start + 4] == b"PK\x01\x02"
    _equal(tiny, content, x=X)
    assert _metadata.write(content, {})[: len(tiny)] == tiny
    # The mark of an archive inside weights is no archive.
    assert _metadata.read(_metadata.write(tiny + b"PK\5\6 no", FULL)) == FULL


def test_several_signatures(tmp_path):
    import tensorflow as tf

    class Two(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, 4), name="x")])
        def infer(self, x):
            return {"probabilities": tf.nn.softmax(x), "top": tf.argmax(x, axis=-1)}

        @tf.function(input_signature=[tf.TensorSpec((1, 4), name="x")])
        def other(self, x):
            return {"sum": tf.reduce_sum(x)}

    module = Two()
    signatures = {"infer": module.infer, "other": module.other}
    tf.saved_model.save(module, str(tmp_path / "saved"), signatures=signatures)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "saved"))
    before = converter.convert()
    labels = {"probabilities": list("abcd")}
    after = _metadata.write(before, {"labels": labels})
    for name in signatures:
        _equal(before, after, name, x=X)
    with pytest.raises(ValueError, match="which of the outputs"):
        _metadata.write(before, {"labels": list("abcd")})
    with pytest.raises(ValueError, match="keys among the outputs.*key='none'"):
        _metadata.write(before, {"labels": {"none": list("abcd")}})
    with pytest.raises(ValueError, match="must have 4 labels for output 'prob"):
        _metadata.write(before, {"labels": {"probabilities": list("abc")}})


def test_int4_weights(tmp_path):
    quantizer = pytest.importorskip(
        "litert_quantizer", reason="the quantizer extra is not installed"
    )
    model, shapes = models.dense()
    path = tmp_path / "float.tflite"
    export.to_tflite(model, path)
    work = quantizer.quantizer.Quantizer(str(path))
    work.load_quantization_recipe(quantizer.recipe.dynamic_wi4_afp32())
    before = bytes(work.quantize().quantized_model)
    after = _metadata.write(before, FULL)
    assert "int4" in _flatbuffer.read(after)["tensor_types"]
    _equal(before, after, **models.samples(shapes, count=1))


def test_one_sigmoid_unit_has_two_labels(target):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    export.to_tflite(model, target)
    for labels in (["no", "yes"], ["yes"]):
        assert export.write_metadata(target, {"labels": labels})["labels"] == labels
    with pytest.raises(ValueError, match="must have 1 labels"):
        export.write_metadata(target, {"labels": ["a", "b", "c"]})


@pytest.mark.parametrize(
    ("metadata", "error", "match"),
    [
        ({"licence": "MIT"}, ValueError, "Did you mean 'license'"),
        ({"stage": 1}, ValueError, 'of your own belong in "extra"'),
        ({1: "x"}, ValueError, "must have keys among"),
        ([("name", "x")], TypeError, "`metadata` must be a dict"),
        ({"version": 1}, TypeError, r'metadata\["version"\]` must be a str'),
        ({"labels": "cat"}, TypeError, "must be a list of str"),
        ({"labels": []}, ValueError, "not empty"),
        ({"labels": [1, 2, 3]}, TypeError, r"str\(label\) for label"),
        ({"labels": ["a"]}, ValueError, "must have 3 labels"),
        ({"normalization": {}}, ValueError, '"mean" and "std"'),
        ({"normalization": {"mean": 1}}, ValueError, '"mean" and "std"'),
        ({"normalization": {"mean": 1, "sd": 1}}, ValueError, '"mean" and "std"'),
        ({"normalization": {"mean": 1, "std": 0}}, ValueError, "greater than 0"),
        ({"normalization": {"scale": 0, "offset": 1}}, ValueError, "other than 0"),
        ({"normalization": {"mean": "1", "std": 1}}, TypeError, "finite number"),
        ({"normalization": {"mean": [], "std": 1}}, ValueError, "not be empty"),
        ({"normalization": {"mean": np.nan, "std": 1}}, ValueError, "finite number"),
        ({"normalization": {"mean": [1, 2], "std": [1]}}, ValueError, "as many"),
        ({"extra": {"a": {1, 2}}}, ValueError, "ready for JSON"),
        ({"extra": {"a": float("nan")}}, ValueError, "ready for JSON"),
        ({"extra": {1: 2}}, ValueError, "str keys"),
    ],
)
def test_refused(metadata, error, match, tiny, target):
    target.write_bytes(tiny)
    with pytest.raises(error, match=match):
        export.write_metadata(target, metadata)
    assert target.read_bytes() == tiny


def test_arrays_become_lists(tiny):
    normalization = {"mean": np.float32(0.5), "std": np.array([1, 2, 4])}
    content = _metadata.write(tiny, {"normalization": normalization})
    expected = {"mean": 0.5, "std": [1.0, 2.0, 4.0]}
    assert _metadata.read(content)["normalization"] == expected


def test_files_that_are_none(tiny, tmp_path):
    with pytest.raises(FileNotFoundError, match="existing .tflite"):
        export.read_metadata(tmp_path / "none.tflite")
    with pytest.raises(TypeError, match="`path` must be"):
        export.write_metadata(None, {})
    rng = np.random.default_rng(0)
    garbage = [b"", b"TFL3", rng.bytes(500), b"\x10\0\0\0TFL3" + rng.bytes(500)]
    garbage += [tiny[:size] for size in (20, 100, 400)]
    for content in garbage:
        path = tmp_path / "bad.tflite"
        path.write_bytes(content)
        with pytest.raises(export.ExportError, match="no intact") as caught:
            export.write_metadata(path, FULL)
        assert caught.value.reason == "load"
        assert path.read_bytes() == content
        with pytest.raises(export.ExportError, match="no intact"):
            export.read_metadata(path)


def test_flipped_bytes_never_raise_anything_else(tiny):
    rng = np.random.default_rng(1)
    content = _metadata.write(tiny, FULL)
    outcomes = set()
    for _ in range(400):
        broken = bytearray(content)
        for place in rng.integers(0, len(broken), 6):
            broken[place] = rng.integers(256)
        try:
            _metadata.write(bytes(broken), {"labels": list("abc")})
            outcomes.add("read")
        except (export.ExportError, ValueError, UserWarning) as error:
            outcomes.add(type(error).__name__)
    assert "read" in outcomes and "ExportError" in outcomes


def test_tensors_outside_the_flatbuffer_are_refused(tiny):
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(tiny))
    kept = [buffer for buffer in model.buffers if buffer.data is not None]
    buffer = max(kept, key=lambda buffer: len(buffer.data))
    buffer.data, buffer.offset, buffer.size = None, 4096, 48
    outside = bytes(flatbuffer_utils.convert_object_to_bytearray(model))
    with pytest.raises(export.ExportError, match="outside its flatbuffer") as caught:
        _metadata.write(outside, FULL)
    assert caught.value.reason == "metadata"


# Standard metadata ------------------------------------------------------------


class _Table:
    """A table of a flatbuffer, read by the numbers of its fields."""

    def __init__(self, data, position=None):
        from flatbuffers import number_types, table

        self._number_types = number_types
        if position is None:
            position = struct.unpack_from("<I", data, 0)[0]
        self._table = table.Table(bytearray(data), position)

    def _at(self, slot):
        offset = self._table.Offset(4 + 2 * slot)
        return offset and offset + self._table.Pos

    def number(self, slot, kind="Uint8"):
        at = self._at(slot)
        flags = getattr(self._number_types, f"{kind}Flags")
        return self._table.Get(flags, at) if at else 0

    def text(self, slot):
        at = self._at(slot)
        return self._table.String(at).decode() if at else None

    def table(self, slot):
        at = self._at(slot)
        return _Table(self._table.Bytes, self._table.Indirect(at))

    def tables(self, slot):
        offset = self._table.Offset(4 + 2 * slot)
        if not offset:
            return []
        start, count = self._table.Vector(offset), self._table.VectorLen(offset)
        return [
            _Table(self._table.Bytes, self._table.Indirect(start + 4 * i))
            for i in range(count)
        ]

    def floats(self, slot):
        offset = self._table.Offset(4 + 2 * slot)
        flags = self._number_types.Float32Flags
        return self._table.GetVectorAsNumpy(flags, offset).tolist()


def _standard(content):
    """The model's texts, its inputs and its outputs."""
    data = metadata_flatbuffer.entries(content)["TFLITE_METADATA"]
    assert data[4:8] == b"M001"
    root = _Table(data)
    [graph] = root.tables(3)
    return root, graph.tables(2), graph.tables(3)


def _packed(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
        assert {entry.compress_type for entry in entries} <= {zipfile.ZIP_STORED}
        return {entry.filename: archive.read(entry) for entry in entries}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    inputs = keras.Input((6, 6, 3), name="image")
    hidden = keras.layers.Conv2D(4, 3)(inputs)
    hidden = keras.layers.GlobalAveragePooling2D()(hidden)
    label = keras.layers.Dense(3, "softmax", name="label")(hidden)
    sharp = keras.layers.Dense(1, "sigmoid", name="sharp")(hidden)
    path = tmp_path_factory.mktemp("images") / "images.tflite"
    export.to_tflite(keras.Model(inputs, [label, sharp]), path, min_agreement=0)
    return path.read_bytes()


def test_standard_metadata(images):
    metadata = {
        "name": "sorter",
        "license": "MIT",
        "labels": {"label": ["cat", "Hündin", "fish"], "sharp": ["no", "yes"]},
        # (x / 255 - .5) / .25 is (x - 127.5) / 63.75.
        "normalization": {"scale": 1 / 255, "offset": 0, "mean": 0.5, "std": 0.25},
        "score_calibration": {
            "label": {
                "parameters": [(1, 2, 0.5), None, (0.5, 1, 0, 0.25)],
                "transformation": "log",
                "default_score": 0.125,
            },
            "sharp": {"parameters": (1, 1, 0)},
        },
        "score_threshold": 0.75,
    }
    content = _metadata.write(images, metadata)
    root, inputs, outputs = _standard(content)
    assert [root.text(slot) for slot in (0, 1, 5)] == ["sorter", None, "MIT"]
    [image] = inputs
    assert image.text(0) == "image"
    assert image.table(3).number(0) == 2  # an image, of RGB
    assert image.table(3).table(1).number(0, "Int8") == 1
    [unit] = image.tables(4)
    assert unit.number(0) == 1
    options = unit.table(1)
    np.testing.assert_allclose(options.floats(0), [127.5], rtol=1e-6)
    np.testing.assert_allclose(options.floats(1), [63.75], rtol=1e-6)
    np.testing.assert_allclose(image.table(5).floats(0), [2.0], rtol=1e-6)
    np.testing.assert_allclose(image.table(5).floats(1), [-2.0], rtol=1e-6)
    by_name = {output.text(0): output for output in outputs}
    assert sorted(by_name) == ["label", "sharp"]
    files = [(f.text(0), f.number(2, "Int8")) for f in by_name["label"].tables(6)]
    names = "labels_of_label.txt", "score_calibration_of_label.txt"
    assert files == [(names[0], 2), (names[1], 4)]
    packed = _packed(content)
    assert packed[names[0]].decode() == "cat\nHündin\nfish\n"
    assert packed[names[1]].decode() == "1,2,0.5\n\n0.5,1,0,0.25"
    # The score of one unit is that of the second class.
    assert packed["labels_of_sharp.txt"] == b"yes\n"
    assert packed["score_calibration_of_sharp.txt"] == b"1,1,0"
    calibration, threshold = by_name["label"].tables(4)
    assert (calibration.number(0), threshold.number(0)) == (2, 3)
    assert calibration.table(1).number(0, "Int8") == 1
    assert calibration.table(1).number(1, "Float32") == 0.125
    assert threshold.table(1).number(0, "Float32") == 0.75
    _equal(images, content, image=np.ones((1, 6, 6, 3), "float32"))
    # As often as one likes; `{}` restores the file.
    assert _metadata.write(content, metadata) == content
    changed = _metadata.write(content, {"labels": {"label": list("abc")}})
    assert _packed(changed) == {names[0]: b"a\nb\nc\n"}
    assert _metadata.write(changed, {}) == images


def test_pixels_as_they_are(images):
    content = _metadata.write(images, {"name": "x"}, ("image",))
    options = _standard(content)[1][0].tables(4)[0].table(1)
    assert (options.floats(0), options.floats(1)) == ([0.0], [1.0])
    assert not _standard(_metadata.write(images, {"name": "x"}))[1][0].tables(4)


def test_standard_metadata_of_another_tool_stay(tiny):
    foreign = metadata_flatbuffer.wrap(tiny, {"TFLITE_METADATA": b"0123M001"})
    with pytest.warns(UserWarning, match="TFLITE_METADATA.*another tool"):
        content = _metadata.write(foreign, {"labels": list("abc")})
    assert metadata_flatbuffer.entries(content)["TFLITE_METADATA"] == b"0123M001"
    assert _metadata.read(content) == {"labels": list("abc")}
    # What is ours is replaced, also after another tool rewrote the file.
    from ai_edge_litert.tools import flatbuffer_utils

    content = _metadata.write(tiny, {"name": "old"})
    parsed = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    rewritten = bytes(flatbuffer_utils.convert_object_to_bytearray(parsed))
    assert _standard(_metadata.write(rewritten, {"name": "new"}))[0].text(0) == "new"
    removed = _metadata.write(rewritten, {})
    assert "TFLITE_METADATA" not in metadata_flatbuffer.entries(removed)


def test_a_file_of_the_same_name_is_not_lost(tiny):
    [output] = _metadata.output_sizes(tiny)
    packed = io.BytesIO(tiny)
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr(f"labels_of_{output}.txt", "theirs")
    with pytest.raises(export.ExportError, match="of another tool already"):
        _metadata.write(packed.getvalue(), {"labels": list("abc")})


@pytest.mark.parametrize(
    ("metadata", "error", "match"),
    [
        ({"labels": ["a\nb", "c", "d"]}, ValueError, "no line breaks"),
        ({"activation": "relu"}, ValueError, "activation"),
        ({"score_threshold": "1"}, TypeError, "score_threshold"),
        ({"score_calibration": {}}, ValueError, "must have parameters"),
        ({"score_calibration": {"parameters": []}}, TypeError, "scale, slope, offset"),
        ({"score_calibration": {"parameters": (1, 2)}}, ValueError, "scale, slope"),
        ({"score_calibration": {"parameters": (-1, 2, 3)}}, ValueError, "at least 0"),
        ({"score_calibration": {"parameters": [None]}}, ValueError, "3 parameters"),
        (
            {"score_calibration": {"parameters": (1, 1, 0), "g": 1}},
            ValueError,
            "keys among",
        ),
        (
            {"score_calibration": {"other": {"parameters": (1, 1, 0)}}},
            ValueError,
            "keys among the outputs",
        ),
    ],
)
def test_refused_scores(metadata, error, match, tiny):
    with pytest.raises(error, match=match):
        _metadata.write(tiny, metadata)


def _image_model(first=None):
    inputs = keras.Input((6, 6, 3), name="image")
    hidden = inputs if first is None else first(inputs)
    hidden = keras.layers.GlobalAveragePooling2D()(hidden)
    return keras.Model(inputs, keras.layers.Dense(2, name="label")(hidden))


@pytest.mark.parametrize(
    ("first", "normalization", "match"),
    [
        (None, None, "refuses the float32 images"),
        (None, {"mean": 0, "std": 1}, None),
        (None, {"mean": [1, 2, 3], "std": 1}, "differs by channel"),
        (keras.layers.Rescaling(1 / 255), None, None),
        (lambda x: x / 127.5 - 1, None, None),
        (keras.layers.Rescaling(1 / 255), {"mean": 1, "std": 2}, "does both"),
    ],
)
def test_what_an_application_would_do_wrong(first, normalization, match):
    from keras_strategies.export._common import model_signature
    from keras_strategies.export.convert import _pixel_inputs

    model = _image_model(first)
    specs = model_signature.input_specs(model)[1]
    scaled = _pixel_inputs.scaled_inputs(model, [spec.name for spec in specs])
    metadata = {"labels": ["a", "b"]}
    if normalization is not None:
        metadata["normalization"] = normalization
    metadata = _metadata.validate(metadata)
    warnings = _pixel_inputs.pixel_warnings(specs, metadata, scaled, "float32")
    assert len(warnings) == (match is not None)
    assert match is None or match in warnings[0]


@pytest.mark.slow
def test_mediapipe_reads_and_runs_it(tmp_path):
    """Labels, normalization and calibration as MediaPipe Tasks applies them."""
    mediapipe = pytest.importorskip(
        "mediapipe",
        reason="its pin of absl-py excludes tfmot's: pip install --no-deps mediapipe",
    )
    from mediapipe.tasks.python import BaseOptions, vision

    pixels = np.random.default_rng(0).integers(0, 256, (6, 6, 3)).astype("uint8")
    image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels)
    path, labels = tmp_path / "image.tflite", ["cat", "Hündin"]

    def classify(model, **metadata):
        export.to_tflite(
            model, path, metadata={"labels": labels} | metadata, min_agreement=0
        )
        base = BaseOptions(model_asset_path=str(path))
        options = vision.ImageClassifierOptions(base_options=base)
        with vision.ImageClassifier.create_from_options(options) as classifier:
            [head] = classifier.classify(image).classifications
        assert head.head_name == "label"
        return {entry.category_name: entry.score for entry in head.categories}

    def predicted(model, values):
        return model.predict(np.float32(values)[None], verbose=0)[0]

    plain = _image_model()
    half = {"mean": 127.5, "std": 127.5}
    scores = classify(plain, normalization=half)
    expected = predicted(plain, pixels / 127.5 - 1)
    np.testing.assert_allclose([scores[x] for x in labels], expected, rtol=1e-3)
    # The model's own scaling needs no word of the user.
    scaled = _image_model(keras.layers.Rescaling(1 / 127.5, -1))
    scores = classify(scaled)
    expected = predicted(scaled, pixels)
    np.testing.assert_allclose([scores[x] for x in labels], expected, rtol=1e-3)
    calibration = {"parameters": [(1, 2, 0.5), None], "default_score": 0.125}
    scores = classify(scaled, score_calibration=calibration)
    logistic = 1 / (1 + np.exp(-(2 * expected[0] + 0.5)))
    np.testing.assert_allclose(scores[labels[0]], logistic, rtol=1e-3)
    assert scores[labels[1]] == 0.125
    # Masks of logits.
    inputs = keras.Input((6, 6, 3), name="image")
    masks = keras.Model(inputs, keras.layers.Conv2D(2, 1, name="mask")(inputs))
    metadata = {"labels": labels, "normalization": half, "activation": "softmax"}
    export.to_tflite(masks, path, metadata=metadata, min_agreement=0)
    base = BaseOptions(model_asset_path=str(path))
    options = vision.ImageSegmenterOptions(base, output_confidence_masks=True)
    with vision.ImageSegmenter.create_from_options(options) as segmenter:
        assert segmenter.labels == labels
        found = segmenter.segment(image).confidence_masks
    expected = keras.ops.softmax(predicted(masks, pixels / 127.5 - 1))
    for channel, mask in enumerate(found):
        value = np.squeeze(mask.numpy_view())
        np.testing.assert_allclose(value, expected[..., channel], atol=1e-3)
