"""Runs of an artifact by input name, quantized where it expects integers; timing."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from keras_strategies.export._common import NamedArrays, named_arrays, sample_data


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

    def __init__(
        self, artifact: str | bytes, threads: int = 1, dequantize: bool = True
    ) -> None:
        from ai_edge_litert.interpreter import Interpreter

        source = "model_content" if isinstance(artifact, bytes) else "model_path"
        self.interpreter = Interpreter(**{source: artifact}, num_threads=threads)
        self.dequantize = dequantize
        self.inputs: dict[str, dict[str, Any]] = {}
        self.outputs: dict[str, dict[str, Any]] = {}
        for name in self.interpreter.get_signature_list():
            runner = self.interpreter.get_signature_runner(name)
            self.inputs[name] = runner.get_input_details()
            self.outputs[name] = runner.get_output_details()
        # The interpreter refuses `invoke` while a signature runner is alive, so only
        # the primary graph of a file with one signature is invoked directly.
        self._is_primary = len(self.inputs) <= 1
        if not self.inputs:
            inputs = self.interpreter.get_input_details()
            outputs = self.interpreter.get_output_details()
            self.inputs[""] = {entry["name"]: entry for entry in inputs}
            self.outputs[""] = {entry["name"]: entry for entry in outputs}
        self.signature = next(iter(self.inputs))
        self._shapes: dict[str, tuple[int, ...]] | None = None
        self._last_call: Any = None

    def run(
        self, feed: Mapping[str, np.ndarray], signature: str | None = None
    ) -> NamedArrays:
        """Returns the outputs of one inference as a dict of new arrays."""
        signature = self.signature if signature is None else signature
        values = self.raw_inputs(feed, signature)
        if self._is_primary:
            self._set_inputs(values)
            self.interpreter.invoke()
            outputs = {
                name: self.interpreter.get_tensor(entry["index"])
                for name, entry in self.outputs[signature].items()
            }
        else:
            call = self.interpreter.get_signature_runner(signature)
            outputs = call(**values)
        self._last_call = signature, values
        return {
            name: self._to_reals(value, self.outputs[signature][name])
            for name, value in outputs.items()
        }

    def raw_inputs(self, feed: Mapping[str, np.ndarray], signature: str) -> NamedArrays:
        """Returns the arrays that the interpreter is fed with: integers quantized."""
        return {
            name: self._to_integers(feed[name], entry)
            for name, entry in self.inputs[signature].items()
        }

    def repeated_call(self) -> Callable[[], Any]:
        """Returns a function that repeats the last inference and nothing else."""
        if self._is_primary:
            return self.interpreter.invoke
        signature, values = self._last_call
        call = self.interpreter.get_signature_runner(signature)
        return lambda: call(**values)

    def _set_inputs(self, values):
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

    def _to_integers(self, values, entry):
        if not (self.dequantize and is_quantized(entry)):
            return values
        return quantize(values, *entry["quantization"], entry["dtype"])

    def _to_reals(self, values, entry):
        if not (self.dequantize and is_quantized(entry)):
            return values
        return dequantize(values, *entry["quantization"])


def is_quantized(entry: Mapping[str, Any]) -> bool:
    """Whether integers of a tensor stand for real numbers."""
    scale, _ = entry["quantization"]
    return bool(scale) and np.dtype(entry["dtype"]).kind in "iu"


def quantize(
    values: np.ndarray, scale: float, zero_point: int, dtype: Any
) -> np.ndarray:
    """Returns `round(values / scale) + zero_point`, clipped to the integer `dtype`."""
    limits = np.iinfo(dtype)
    levels = np.round(values / scale) + zero_point
    return np.clip(levels, limits.min, limits.max).astype(dtype)


def dequantize(levels: np.ndarray, scale: float, zero_point: int) -> np.ndarray:
    """Returns `(levels - zero_point) * scale` in float32."""
    return ((levels.astype("float32") - zero_point) * scale).astype("float32")


def run(
    artifact: str,
    samples: str,
    outputs: str,
    batch_size: int | None,
    seconds: float = 1.0,
    runs: int = 100,
) -> dict[str, Any]:
    """Runs `artifact` on every sample, writes the outputs, measures the latency.

    A command of the worker: `samples` and `outputs` are paths. The latency is the
    median of at most `runs` runs, of which at least 5, within about `seconds`.
    """
    named = named_arrays.load(samples)
    runner = Runner(artifact)
    parts = []
    size = batch_size or 1
    for batch, count in sample_data.full_batches(named, size):
        parts.append(sample_data.rows_of_batch(runner.run(batch), size, count))
    named_arrays.save(outputs, sample_data.join_samples(parts))
    # The last batch again, whose inputs are already set.
    infer, times = runner.repeated_call(), []
    while len(times) < 5 or (len(times) < runs and sum(times) < seconds):
        start = time.perf_counter()
        infer()
        times.append(time.perf_counter() - start)
    return {"latency_ms": float(np.median(times)) * 1e3, "runs": len(times)}
