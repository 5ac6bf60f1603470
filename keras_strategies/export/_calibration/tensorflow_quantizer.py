"""Calibration and TensorFlow's quantizers, as commands of the worker."""

import pathlib
from typing import Any

from keras_strategies.export._calibration import range_collection
from keras_strategies.export._common import named_arrays


def calibrate(
    float_artifact: str,
    ranges: str,
    calibration: str,
    batch_size: int | None,
    method: str,
    percentile: float,
) -> dict[str, Any]:
    """Writes the ranges of a float file's activations; returns figures about them.

    Args:
        float_artifact: Path of the float32 file.
        ranges: Path to write.
        calibration: Path of the samples.
        batch_size: The batch size the file fixes, or None.
        method: One of `range_reducers.METHODS`.
        percentile: For `"percentile"`.
    """
    collected, info = range_collection.collect_ranges(
        pathlib.Path(float_artifact).read_bytes(),
        named_arrays.load(calibration),
        batch_size=batch_size,
        method=method,
        percentile=percentile,
    )
    named_arrays.save(ranges, collected)
    return info


def load_ranges(path: str) -> range_collection.Ranges:
    """Reads the ranges that `calibrate` wrote."""
    arrays = named_arrays.load(path)
    return {name: (float(low), float(high)) for name, (low, high) in arrays.items()}


def quantize(
    float_artifact: str,
    artifact: str,
    mode: str,
    ranges: str,
    input_type: str,
    output_type: str,
) -> dict[str, Any]:
    """Quantizes a float file to int8 or int16x8 with TensorFlow's quantizers."""
    content = pathlib.Path(float_artifact).read_bytes()
    content = range_collection.write_ranges(content, load_ranges(ranges))
    quantizer = _quantize_int8 if mode == "int8" else _quantize_int16x8
    quantized = quantizer(content, input_type, output_type)
    pathlib.Path(artifact).write_bytes(quantized)
    return {}


def _quantize_int8(content, input_type, output_type):
    import tensorflow as tf
    from tensorflow.lite.python import convert as tflite_convert

    return tflite_convert.mlir_quantize(
        content,
        input_data_type=tf.as_dtype(input_type),
        output_data_type=tf.as_dtype(output_type),
    )


def _quantize_int16x8(content, input_type, output_type):
    import numpy as np
    from tensorflow.lite.python.optimize import calibrator

    # The function that TensorFlow's converter calls after a calibration of its own,
    # which would ignore masks, clip nothing, and run kernels that do not exist.
    return calibrator.Calibrator(content)._calibrator.QuantizeModel(
        np.dtype(input_type).num,
        np.dtype(output_type).num,
        True,  # operations without an integer kernel stay in float32
        np.dtype("int16").num,
        np.dtype("int64").num,  # biases
        False,  # weights by channel
        False,  # of dense layers too
    )
