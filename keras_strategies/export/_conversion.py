"""The worker's side: convert a SavedModel, run and time the artifact."""

import pathlib
import time

import numpy as np

from keras_strategies.export import _data, _parity, _trace


def save_arrays(path, named):
    """Writes `{name: array}`; any name is allowed, order is kept."""
    names = np.array(list(named), dtype=str)
    values = {f"array_{index}": value for index, value in enumerate(named.values())}
    np.savez(path, names=names, **values)


def load_arrays(path):
    """Reads what `save_arrays` wrote."""
    with np.load(path) as file:
        names = [str(name) for name in file["names"]]
        return {name: file[f"array_{index}"] for index, name in enumerate(names)}


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
        samples = load_arrays(calibration)
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


class _Runner:
    """One interpreter, one thread, XNNPACK on, fed by input name."""

    def __init__(self, artifact):
        from ai_edge_litert.interpreter import Interpreter

        self.interpreter = Interpreter(model_path=artifact, num_threads=1)
        runner = self.interpreter.get_signature_runner(_trace.SIGNATURE)
        self.inputs = runner.get_input_details()
        self.outputs = runner.get_output_details()
        self.shapes = None

    def feed(self, batch):
        """Sets the inputs, quantized where the artifact wants integers."""
        shapes = {name: batch[name].shape for name in self.inputs}
        if shapes != self.shapes:
            # Free axes are 1 until resized, too small for many kernels: allocate
            # only afterwards.
            for name, entry in self.inputs.items():
                if shapes[name] != tuple(entry["shape"]):
                    self.interpreter.resize_tensor_input(entry["index"], shapes[name])
            self.interpreter.allocate_tensors()
            self.shapes = shapes
        for name, entry in self.inputs.items():
            values, (scale, zero) = batch[name], entry["quantization"]
            if scale:
                values = _parity.quantize(values, scale, zero, entry["dtype"])
            self.interpreter.set_tensor(entry["index"], values)

    def read(self):
        """Returns the outputs, dequantized."""
        outputs = {}
        for name, entry in self.outputs.items():
            values, (scale, zero) = (
                self.interpreter.get_tensor(entry["index"]),
                entry["quantization"],
            )
            outputs[name] = _parity.dequantize(values, scale, zero) if scale else values
        return outputs


def run(artifact, samples, outputs, batch_size, seconds=1.0, runs=100):
    """Runs `artifact` on every sample, writes the outputs, measures the latency.

    The latency is the median of at most `runs` runs, of which at least 5, within
    about `seconds`.
    """
    samples = load_arrays(samples)
    runner = _Runner(artifact)
    parts = []
    for batch, count in _data.batches(samples, batch_size or 1):
        runner.feed(batch)
        runner.interpreter.invoke()
        parts.append({name: value[:count] for name, value in runner.read().items()})
    named = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    save_arrays(outputs, named)
    times = []
    while len(times) < 5 or (len(times) < runs and sum(times) < seconds):
        start = time.perf_counter()
        runner.interpreter.invoke()
        times.append(time.perf_counter() - start)
    return {"latency_ms": float(np.median(times)) * 1e3, "runs": len(times)}
