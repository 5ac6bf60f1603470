"""Tracing and conversion, as commands of the worker."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from keras_strategies.export._common import model_transfer, named_arrays, sample_data
from keras_strategies.export.artifact import _flatbuffer
from keras_strategies.export.convert import _trace


def trace(
    keras_file: str,
    saved_model: str,
    modules: Sequence[str],
    batch_size: int | None,
    names: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Loads a `.keras` file and writes a SavedModel.

    Returns `{"layers": its layers' scopes, "notes": sentences on them}`.
    """
    model = model_transfer.load_in_worker(keras_file, modules)
    notes: list[str] = []
    layers = _trace.write_saved_model(model, saved_model, batch_size, names, notes)
    return {"layers": layers, "notes": notes}


def convert(
    saved_model: str,
    artifact: str,
    mode: str,
    allow_flex: bool = False,
    integer: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Converts a SavedModel into the `.tflite` file `artifact`.

    Args:
        saved_model: Its folder.
        artifact: Path to write.
        mode: `"float32"`, `"float16"`, `"dynamic"`, `"learned"` (int8 with the ranges
            of quantization-aware training), or one of the two that TensorFlow
            calibrates itself, `"int8"` and `"int16x8"`.
        allow_flex: Accept operations that need the TensorFlow runtime.
        integer: For integer modes `{"input_type": ..., "output_type": ...}`, and
            where TensorFlow calibrates `"calibration"` (path of the samples) and
            `"batch_size"`.
    """
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(
        saved_model, signature_keys=[_trace.SIGNATURE]
    )
    op_sets = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if mode != "float32":
        # Without a representative dataset this quantizes the weights only.
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if mode == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if integer is not None:
        if mode != "learned":
            # Operations without an integer kernel stay in float32, as the set of
            # float operations stays in the list.
            op_sets.insert(0, _integer_op_set(mode))
            samples = named_arrays.load(integer["calibration"])
            size = integer["batch_size"] or 1
            converter.representative_dataset = lambda: (
                batch for batch, _ in sample_data.full_batches(samples, size)
            )
        converter.inference_input_type = tf.as_dtype(integer["input_type"])
        converter.inference_output_type = tf.as_dtype(integer["output_type"])
    if allow_flex:
        op_sets.append(tf.lite.OpsSet.SELECT_TF_OPS)
    converter.target_spec.supported_ops = op_sets
    pathlib.Path(artifact).write_bytes(converter.convert())
    return {}


def _integer_op_set(mode):
    import tensorflow as tf

    sets = tf.lite.OpsSet
    if mode == "int16x8":
        return sets.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
    return sets.TFLITE_BUILTINS_INT8


def find_loops(artifact: str) -> list[str]:
    """Returns the names of the loops and branches, whose bodies have no ranges."""
    ops = _flatbuffer.read(pathlib.Path(artifact).read_bytes())["ops"]
    return sorted({"WHILE", "IF"} & set(ops))
