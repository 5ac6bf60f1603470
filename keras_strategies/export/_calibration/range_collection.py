"""Collection of activation ranges from a float artifact, and their storage in it.

TensorFlow's own calibrator runs kernels of one sample each without XNNPACK and
logs an operation's inputs after it ran: where ADD writes in place, as in residual
blocks, the sum's range is recorded for the summand, whose resolution suffers. Here
every tensor has memory of its own, so the ranges are those of the values, and a
sample takes a fraction of the time.
"""

import warnings
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from keras_strategies.export._calibration import float_graph, range_reducers
from keras_strategies.export._common import sample_data
from keras_strategies.export.artifact._flatbuffer import decode

# Samples at a time: more no longer fit the processor's cache.
_CHUNK_SIZE = 4

#: Tensor name -> `(low, high)`.
Ranges: TypeAlias = dict[str, tuple[float, float]]


def collect_ranges(
    float_content: bytes,
    samples: Mapping[str, np.ndarray],
    batch_size: int | None = None,
    method: str = "minmax",
    percentile: float = 99.99,
    decay: float = 0.99,
) -> tuple[Ranges, dict[str, Any]]:
    """Runs the float artifact on all samples and reduces every float activation.

    Only the main graph is observed: tensors inside the bodies of WHILE and IF have no
    range in the result, so `write_ranges` does not change theirs.

    Args:
        float_content: The `.tflite` file as bytes, float32 or calibrated.
        samples: Input name -> array, samples first.
        batch_size: The batch size that the artifact fixes, or None.
        method: One of `range_reducers.METHODS`.
        percentile: For `"percentile"`: the upper end; the lower is 100 minus it.
        decay: For `"moving_average"`, of one step; a step is one batch of the
            artifact, one sample if that is free.

    Returns:
        `(ranges, info)`: tensor name -> `(low, high)`, and a JSON-ready dict with
        `samples`, `method`, `moving`, `moving_tensors`, `settled`, `non_finite`
        (names with NaN or infinity, which are ignored), `unseen` (names without a
        range) and `hidden_subgraphs` (number of graphs that were not observed).
    """
    model = float_graph.read_model(float_content)
    names = {
        index: decode(tensor.name)
        for index, tensor in float_graph.float_activations(model)
    }
    num_samples = sample_data.num_samples(samples)
    chunk_size = batch_size or min(_CHUNK_SIZE, max(1, num_samples // 4))
    if method == "moving_average":
        chunk_size = batch_size or 1
    collector = _Collector(float_content, names, (method, percentile, decay))
    try:
        collector.observe_all(samples, chunk_size, is_fixed=batch_size is not None)
    except (RuntimeError, ValueError):
        if batch_size is not None or chunk_size == 1:
            raise
        # Some graphs with a free batch axis only run on one sample.
        collector = _Collector(float_content, names, (method, percentile, decay))
        collector.observe_all(samples, 1, is_fixed=False)
    ranges = collector.ranges()
    reducers = collector.reducers.items()
    info = {"samples": num_samples, "method": method}
    info |= range_reducers.measure_convergence(collector.early_ranges, ranges)
    info |= {
        "non_finite": sorted(name for name, r in reducers if r.non_finite),
        "unseen": sorted(set(names.values()) - set(ranges)),
        "hidden_subgraphs": len(model.subgraphs) - 1,
    }
    return ranges, info


class _Collector:
    """One artifact on all samples, with one reducer for each tensor name."""

    def __init__(self, content, tensors, reduction):
        self.interpreter = ObservedInterpreter(content)
        self.tensors = tensors
        self.reducers = {
            name: range_reducers.create_reducer(*reduction) for name in tensors.values()
        }
        self.early_ranges = None
        self.masked = set()

    def observe_all(self, samples, chunk_size, is_fixed):
        """Runs all samples, `chunk_size` at a time; the last ones short if allowed."""
        count = sample_data.num_samples(samples)
        starts = range(0, count, chunk_size)
        for number, start in enumerate(starts):
            rows = np.arange(start, start + chunk_size)
            # A fixed batch is filled up with its last sample, which changes no range.
            rows = np.minimum(rows, count - 1) if is_fixed else rows[rows < count]
            self.interpreter.run({name: array[rows] for name, array in samples.items()})
            for index, name in self.tensors.items():
                values = self.interpreter.view(index)
                if values is not None and values.size:
                    self._observe(name, values)
                del values  # the next run refuses while a view exists
            # After three quarters, to see whether the ranges still change.
            if len(starts) >= 4 and number + 1 == len(starts) - len(starts) // 4:
                self.early_ranges = self.ranges()

    def _observe(self, name, values):
        scores, is_masked = range_reducers.remove_masks(values)
        self.masked |= {name} if is_masked else set()
        if scores.size:
            self.reducers[name].update(scores)

    def ranges(self):
        """Returns name -> `(low, high)` of the tensors seen."""
        ranges = {name: reducer.range() for name, reducer in self.reducers.items()}
        return {
            name: (limits[0] - range_reducers.MASK_ROOM, limits[1])
            if name in self.masked
            else limits
            for name, limits in ranges.items()
            if limits is not None
        }


class ObservedInterpreter:
    """An interpreter on one thread, fed by input name, that preserves every tensor."""

    def __init__(self, content: bytes, preserve: bool = True) -> None:
        from ai_edge_litert.interpreter import Interpreter

        with warnings.catch_warnings():  # it warns of the memory, which is the point
            warnings.simplefilter("ignore", UserWarning)
            self.interpreter = Interpreter(
                model_content=bytes(content),
                num_threads=1,
                experimental_preserve_all_tensors=preserve,
            )
        signatures = list(self.interpreter.get_signature_list())
        if signatures:
            runner = self.interpreter.get_signature_runner(signatures[0])
            self.inputs = runner.get_input_details()
            self.outputs = runner.get_output_details()
        else:
            self.inputs, self.outputs = (
                {entry["name"]: entry for entry in details}
                for details in (
                    self.interpreter.get_input_details(),
                    self.interpreter.get_output_details(),
                )
            )
        self._shapes: dict[str, tuple[int, ...]] | None = None

    def run(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Returns the outputs on one batch; resizes the inputs where needed."""
        shapes = {name: batch[name].shape for name in self.inputs}
        if shapes != self._shapes:
            for name, entry in self.inputs.items():
                if shapes[name] != tuple(entry["shape"]) or self._shapes:
                    self.interpreter.resize_tensor_input(entry["index"], shapes[name])
            self.interpreter.allocate_tensors()
            self._shapes = shapes
        for name, entry in self.inputs.items():
            values = batch[name].astype(entry["dtype"], copy=False)
            self.interpreter.set_tensor(entry["index"], values)
        self.interpreter.invoke()
        return {
            name: self.interpreter.get_tensor(entry["index"])
            for name, entry in self.outputs.items()
        }

    def view(self, index: int) -> np.ndarray | None:
        """Returns a tensor in place, to be dropped before the next run, or None."""
        try:
            return self.interpreter.tensor(index)()
        except ValueError:  # no memory: in a branch not executed, or folded away
            return None


def write_ranges(
    content: bytes, ranges: Ranges, info: dict[str, Any] | None = None
) -> bytes:
    """Returns the artifact with `ranges` written as its calibration result.

    In a calibrated artifact, only tensors that have a range get another; in a
    plain float artifact every float activation gets one. Tensors that are missing in
    `ranges` and those of other graphs are not changed.

    Args:
        content: The `.tflite` file as bytes, from the converter with
            `_experimental_calibrate_only`, or plain float32.
        ranges: Tensor name -> `(low, high)`, from `collect_ranges`.
        info: A dict that gets `replaced`, the number of tensors written, and
            `missing`, the names that `ranges` does not have. Defaults to `None`.
    """
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    model = float_graph.read_model(content)
    tensors = [tensor for _, tensor in float_graph.float_activations(model)]
    calibrated = [tensor for tensor in tensors if _has_range(tensor)]
    replaced, missing = 0, []
    for tensor in calibrated or tensors:
        name = decode(tensor.name)
        if name not in ranges:
            missing.append(name)
            continue
        tensor.quantization = tensor.quantization or schema.QuantizationParametersT()
        low, high = ranges[name]
        tensor.quantization.min, tensor.quantization.max = [low], [high]
        replaced += 1
    if info is not None:
        info |= {"replaced": replaced, "missing": missing}
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _has_range(tensor):
    quantization = tensor.quantization
    return quantization is not None and quantization.min is not None


def as_qsv(ranges: Mapping[str, Any]) -> dict[str, dict[str, np.ndarray]]:
    """Returns `ranges` as quantization statistics values of litert_quantizer."""
    return {
        name: {
            "min": np.array([low], dtype="float32"),
            "max": np.array([high], dtype="float32"),
        }
        for name, (low, high) in ranges.items()
    }
