"""The worker's side: trace a model, convert a SavedModel."""

import pathlib

from keras_strategies.export import _arrays, _data, _trace


def trace(keras_file, saved_model, modules, batch_size):
    """Loads a `.keras` file and writes a SavedModel."""
    import importlib

    import keras

    for module in modules:
        importlib.import_module(module)
    # The file was written from a model the user holds in memory a moment ago.
    model = keras.saving.load_model(keras_file, compile=False, safe_mode=False)
    _trace.write_saved_model(model, saved_model, batch_size)
    return {}


def convert(
    saved_model,
    artifact,
    quantization,
    calibration,
    input_type,
    output_type,
    allow_flex,
    batch_size,
):
    """Converts a SavedModel into the `.tflite` file `artifact`."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(
        saved_model, signature_keys=[_trace.SIGNATURE]
    )
    ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if quantization != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantization == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if quantization == "int8":
        # Operations without an integer kernel stay in float32.
        ops.insert(0, tf.lite.OpsSet.TFLITE_BUILTINS_INT8)
        samples = _arrays.load(calibration)
        converter.representative_dataset = lambda: (
            batch for batch, _ in _data.batches(samples, batch_size or 1)
        )
        converter.inference_input_type = tf.as_dtype(input_type)
        converter.inference_output_type = tf.as_dtype(output_type)
    if allow_flex:
        ops.append(tf.lite.OpsSet.SELECT_TF_OPS)
    converter.target_spec.supported_ops = ops
    pathlib.Path(artifact).write_bytes(converter.convert())
    return {}
