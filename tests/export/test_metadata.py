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
from keras_strategies.export.artifact import (
    _flatbuffer,
    _metadata,
    _metadata_flatbuffer,
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
    assert content.endswith(tiny) and len(content) - len(tiny) < 1500
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

    others = _metadata_flatbuffer.entries(tiny)
    assert "min_runtime_version" in others
    content = _metadata.write(tiny, FULL)
    assert _metadata_flatbuffer.entries(content) == others | {
        "keras_strategies": json.dumps(FULL, ensure_ascii=False).encode()
    }
    parsed = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    rewritten = bytes(flatbuffer_utils.convert_object_to_bytearray(parsed))
    assert _metadata.read(rewritten) == FULL
    changed = _metadata.write(rewritten, {"name": "new"})
    assert _metadata.read(changed) == {"name": "new"}
    assert [*_metadata_flatbuffer.entries(changed)].count("keras_strategies") == 1
    _equal(tiny, changed, x=X)
    removed = _metadata.write(rewritten, {})
    assert _metadata.read(removed) is None
    assert _metadata_flatbuffer.entries(removed) == others
    # An entry put on top by another envelope hides ours from `unwrap`.
    above = _metadata_flatbuffer.wrap(content, {"other": b"kept"})
    changed = _metadata.write(above, {"name": "new"})
    assert _metadata_flatbuffer.entries(changed)["other"] == b"kept"
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
        except (export.ExportError, ValueError) as error:
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
