"""The worker's side of checking: run and time an artifact."""

import time

import numpy as np

from keras_strategies.export import _arrays, _data, _parity, _trace


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
    samples = _arrays.load(samples)
    runner = _Runner(artifact)
    parts = []
    for batch, count in _data.batches(samples, batch_size or 1):
        runner.feed(batch)
        runner.interpreter.invoke()
        parts.append({name: value[:count] for name, value in runner.read().items()})
    named = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    _arrays.save(outputs, named)
    times = []
    while len(times) < 5 or (len(times) < runs and sum(times) < seconds):
        start = time.perf_counter()
        runner.interpreter.invoke()
        times.append(time.perf_counter() - start)
    return {"latency_ms": float(np.median(times)) * 1e3, "runs": len(times)}
