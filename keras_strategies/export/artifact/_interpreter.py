"""Run an artifact by input name, quantized where it wants integers; time it."""

import time

import numpy as np

from keras_strategies.export._common import named_arrays, sample_data
from keras_strategies.export.verify import _agreement


class Runner:
    """One interpreter, XNNPACK on, fed and read by name.

    State (resource variables) lives as long as the runner and is shared by its
    signatures.

    Args:
        artifact: Path of the file, or its bytes. It must be known to be sound.
        threads: Threads of the interpreter.
        dequantize: Whether integers of quantized inputs and outputs stand for real
            numbers. `False` passes them as they are.
    """

    def __init__(self, artifact, threads=1, dequantize=True):
        from ai_edge_litert.interpreter import Interpreter

        source = "model_content" if isinstance(artifact, bytes) else "model_path"
        self.interpreter = Interpreter(**{source: artifact}, num_threads=threads)
        self.dequantize = dequantize
        self.inputs, self.outputs = {}, {}
        for name in self.interpreter.get_signature_list():
            runner = self.interpreter.get_signature_runner(name)
            self.inputs[name] = runner.get_input_details()
            self.outputs[name] = runner.get_output_details()
        # The interpreter refuses `invoke` while a signature runner is alive.
        self._primary = len(self.inputs) <= 1
        if not self.inputs:
            inputs = self.interpreter.get_input_details()
            outputs = self.interpreter.get_output_details()
            self.inputs[""] = {entry["name"]: entry for entry in inputs}
            self.outputs[""] = {entry["name"]: entry for entry in outputs}
        self.signature = next(iter(self.inputs))
        self._shapes = None
        self._last = None

    def run(self, feed, signature=None):
        """Returns the outputs of one inference as a dict of new arrays."""
        signature = self.signature if signature is None else signature
        values = {
            name: self._quantized(feed[name], entry)
            for name, entry in self.inputs[signature].items()
        }
        if self._primary:
            self._feed(values)
            self.interpreter.invoke()
            outputs = {
                name: self.interpreter.get_tensor(entry["index"])
                for name, entry in self.outputs[signature].items()
            }
        else:
            call = self.interpreter.get_signature_runner(signature)
            outputs = call(**values)
        self._last = signature, values
        return {
            name: self._dequantized(value, self.outputs[signature][name])
            for name, value in outputs.items()
        }

    def again(self):
        """Returns a function that repeats the last inference and nothing else."""
        if self._primary:
            return self.interpreter.invoke
        signature, values = self._last
        call = self.interpreter.get_signature_runner(signature)
        return lambda: call(**values)

    def _feed(self, values):
        entries = self.inputs[self.signature]
        shapes = {name: value.shape for name, value in values.items()}
        if shapes != self._shapes:
            # Free axes are 1 until resized, too small for many kernels: allocate
            # only afterwards.
            self._shapes = None
            for name, entry in entries.items():
                self.interpreter.resize_tensor_input(entry["index"], shapes[name])
            self.interpreter.allocate_tensors()
            self._shapes = shapes
        for name, entry in entries.items():
            self.interpreter.set_tensor(entry["index"], values[name])

    def _quantized(self, values, entry):
        scale, zero = entry["quantization"]
        if not (scale and self.dequantize and _integer(entry)):
            return values
        return _agreement.quantize(values, scale, zero, entry["dtype"])

    def _dequantized(self, values, entry):
        scale, zero = entry["quantization"]
        if not (scale and self.dequantize and _integer(entry)):
            return values
        return _agreement.dequantize(values, scale, zero)


def _integer(entry):
    return np.dtype(entry["dtype"]).kind in "iu"


def run(artifact, samples, outputs, batch_size, seconds=1.0, runs=100):
    """Runs `artifact` on every sample, writes the outputs, measures the latency.

    The latency is the median of at most `runs` runs, of which at least 5, within
    about `seconds`.
    """
    samples = named_arrays.load(samples)
    runner = Runner(artifact)
    parts = []
    for batch, count in sample_data.batches(samples, batch_size or 1):
        named = runner.run(batch)
        parts.append({name: value[:count] for name, value in named.items()})
    named = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    named_arrays.save(outputs, named)
    infer, times = runner.again(), []
    while len(times) < 5 or (len(times) < runs and sum(times) < seconds):
        start = time.perf_counter()
        infer()
        times.append(time.perf_counter() - start)
    return {"latency_ms": float(np.median(times)) * 1e3, "runs": len(times)}
