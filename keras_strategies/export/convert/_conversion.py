"""The worker's side: trace a model, convert a SavedModel, quantize the result."""

import pathlib

from keras_strategies.export._calibration import range_collection
from keras_strategies.export._common import named_arrays, sample_data
from keras_strategies.export.artifact import _flatbuffer
from keras_strategies.export.convert import _trace


def trace(keras_file, saved_model, modules, batch_size, names=None):
    """Loads a `.keras` file, writes a SavedModel, returns its layers' scopes."""
    import importlib

    import keras

    for module in modules:
        importlib.import_module(module)
    # The file was written from a model the user holds in memory a moment ago.
    model = keras.saving.load_model(keras_file, compile=False, safe_mode=False)
    return _trace.write_saved_model(model, saved_model, batch_size, names)


def convert(saved_model, artifact, mode, allow_flex=False, integer=None):
    """Converts a SavedModel into the `.tflite` file `artifact`.

    Args:
        saved_model: Its folder.
        artifact: Path to write.
        mode: `"float32"`, `"float16"`, `"dynamic"`, `"learned"` (int8 with the ranges
            of quantization-aware training), or one of the two that TensorFlow
            calibrates itself, `"int8"` and `"int16x8"`.
        allow_flex: Let operations through that need the TensorFlow runtime.
        integer: For integer modes `{"input_type": ..., "output_type": ...}`, and
            where TensorFlow calibrates `"calibration"` (path of the samples) and
            `"batch_size"`.
    """
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(
        saved_model, signature_keys=[_trace.SIGNATURE]
    )
    sets = tf.lite.OpsSet
    ops = [sets.TFLITE_BUILTINS]
    if mode != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if mode == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if integer is not None:
        if mode != "learned":
            # Operations without an integer kernel stay in float32.
            sixteen = sets.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
            ops.insert(0, sixteen if mode == "int16x8" else sets.TFLITE_BUILTINS_INT8)
            samples = named_arrays.load(integer["calibration"])
            size = integer["batch_size"] or 1
            converter.representative_dataset = lambda: (
                batch for batch, _ in sample_data.batches(samples, size)
            )
        converter.inference_input_type = tf.as_dtype(integer["input_type"])
        converter.inference_output_type = tf.as_dtype(integer["output_type"])
    if allow_flex:
        ops.append(sets.SELECT_TF_OPS)
    converter.target_spec.supported_ops = ops
    pathlib.Path(artifact).write_bytes(converter.convert())
    return {}


def calibrate(float_artifact, ranges, calibration, batch_size, method, percentile):
    """Writes the ranges of a float file's activations; returns what is known of them.

    Args:
        float_artifact: Path of the float32 file.
        ranges: Path to write.
        calibration: Path of the samples.
        batch_size: The batch size the file fixes, or None.
        method: One of `_ranges.METHODS`.
        percentile: For `"percentile"`.
    """
    found, info = range_collection.collect(
        pathlib.Path(float_artifact).read_bytes(),
        named_arrays.load(calibration),
        batch_size=batch_size,
        method=method,
        percentile=percentile,
    )
    named_arrays.save(ranges, found)
    return info


def quantize(float_artifact, artifact, mode, ranges, input_type, output_type):
    """Quantizes a float file to int8 or int16x8 with TensorFlow's quantizers."""
    named = {
        name: tuple(map(float, r)) for name, r in named_arrays.load(ranges).items()
    }
    content = range_collection.apply(pathlib.Path(float_artifact).read_bytes(), named)
    work = _int8 if mode == "int8" else _int16x8
    pathlib.Path(artifact).write_bytes(work(content, input_type, output_type))
    return {}


def _int8(content, input_type, output_type):
    import tensorflow as tf
    from tensorflow.lite.python import convert as tflite_convert

    return tflite_convert.mlir_quantize(
        content,
        input_data_type=tf.as_dtype(input_type),
        output_data_type=tf.as_dtype(output_type),
    )


def _int16x8(content, input_type, output_type):
    import numpy as np
    from tensorflow.lite.python.optimize import calibrator

    # What the converter calls after a calibration of its own, which would know
    # nothing of masks, clip nothing, and run kernels that do not exist.
    return calibrator.Calibrator(content)._calibrator.QuantizeModel(
        np.dtype(input_type).num,
        np.dtype(output_type).num,
        True,  # operations without an integer kernel stay in float32
        np.dtype("int16").num,
        np.dtype("int64").num,  # biases
        False,  # weights by channel
        False,  # of dense layers too
    )


def loops(artifact):
    """Returns the names of the loops and branches, whose inside has no ranges."""
    ops = _flatbuffer.read(pathlib.Path(artifact).read_bytes())["ops"]
    return sorted({"WHILE", "IF"} & set(ops))
