"""Ranges of a float artifact's activations: collect, write, hand to a quantizer.

TensorFlow's own calibrator runs kernels of one sample each without XNNPACK and
logs an operation's inputs after it ran: where ADD writes in place, as in residual
blocks, the sum's range is recorded for the summand, whose resolution suffers. Here
every tensor keeps its own memory, so the ranges are those of the values, and a
sample takes a fraction of the time.
"""

import warnings

import numpy as np

from keras_strategies.export._calibration import range_reducers

# More samples at a time no longer fit the processor's cache.
_CHUNK = 4
_FLOAT32 = 0  # TensorType in the schema


def collect(
    float_content,
    samples,
    batch_size=None,
    method="minmax",
    percentile=99.99,
    decay=0.99,
):
    """Runs the float artifact on all samples and reduces every float activation.

    Only the main graph is seen: tensors inside the bodies of WHILE and IF have no
    range in the result, so `apply` leaves what the artifact says about them.

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
        (names with NaN or infinity, left out), `unseen` (names without a range)
        and `hidden_subgraphs` (number of graphs not looked into).
    """
    graph, hidden = _main_graph(float_content)
    count = len(next(iter(samples.values())))
    chunk = batch_size or min(_CHUNK, max(1, count // 4))
    if method == "moving_average":
        chunk = batch_size or 1
    run = _Run(float_content, graph, (method, percentile, decay))
    try:
        run.all(samples, chunk, fixed=batch_size is not None)
    except (RuntimeError, ValueError):
        if batch_size is not None or chunk == 1:
            raise
        # Some graphs with a free batch axis only take one sample.
        run = _Run(float_content, graph, (method, percentile, decay))
        run.all(samples, 1, fixed=False)
    ranges = run.ranges()
    info = {"samples": count, "method": method}
    info |= range_reducers.convergence(run.early, ranges)
    info |= {
        "non_finite": sorted(n for n, r in run.reducers.items() if r.non_finite),
        "unseen": sorted(set(graph.values()) - set(ranges)),
        "hidden_subgraphs": hidden,
    }
    return ranges, info


class _Run:
    """One artifact on all samples, with one reducer for each tensor name."""

    def __init__(self, content, tensors, reduction):
        self.artifact = Artifact(content)
        self.tensors = tensors
        self.reducers = {
            name: range_reducers.reducer(*reduction) for name in tensors.values()
        }
        self.early = None
        self.masked = set()

    def all(self, samples, chunk, fixed):
        """Takes in the samples, `chunk` at a time; the last ones short if allowed."""
        count = len(next(iter(samples.values())))
        starts = range(0, count, chunk)
        for number, start in enumerate(starts):
            rows = np.arange(start, start + chunk)
            rows = np.minimum(rows, count - 1) if fixed else rows[rows < count]
            self.artifact.run({name: array[rows] for name, array in samples.items()})
            for index, name in self.tensors.items():
                values = self.artifact.view(index)
                if values is not None and values.size:
                    kept, masked = range_reducers.unmasked(values)
                    self.masked |= {name} if masked else set()
                    if kept.size:
                        self.reducers[name].update(kept)
                    del kept
                del values  # the next run refuses while a view is held
            if len(starts) >= 4 and number + 1 == len(starts) - len(starts) // 4:
                self.early = self.ranges()

    def ranges(self):
        """Returns name -> `(low, high)` of the tensors seen."""
        found = {name: reducer.range() for name, reducer in self.reducers.items()}
        return {
            name: (value[0] - range_reducers.MASK_ROOM, value[1])
            if name in self.masked
            else value
            for name, value in found.items()
            if value is not None
        }


class Artifact:
    """An interpreter on one thread, fed by input name, that keeps every tensor."""

    def __init__(self, content, preserve=True):
        from ai_edge_litert.interpreter import Interpreter

        with warnings.catch_warnings():  # it warns of the memory, which is the point
            warnings.simplefilter("ignore", UserWarning)
            self.interpreter = Interpreter(
                model_content=bytes(content),
                num_threads=1,
                experimental_preserve_all_tensors=preserve,
            )
        keys = list(self.interpreter.get_signature_list())
        if keys:
            runner = self.interpreter.get_signature_runner(keys[0])
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
        self.shapes = None

    def run(self, batch):
        """Returns the outputs on one batch; resizes the inputs where needed."""
        shapes = {name: batch[name].shape for name in self.inputs}
        if shapes != self.shapes:
            for name, entry in self.inputs.items():
                if shapes[name] != tuple(entry["shape"]) or self.shapes:
                    self.interpreter.resize_tensor_input(entry["index"], shapes[name])
            self.interpreter.allocate_tensors()
            self.shapes = shapes
        for name, entry in self.inputs.items():
            values = batch[name].astype(entry["dtype"], copy=False)
            self.interpreter.set_tensor(entry["index"], values)
        self.interpreter.invoke()
        return {
            name: self.interpreter.get_tensor(entry["index"])
            for name, entry in self.outputs.items()
        }

    def view(self, index):
        """Returns a tensor in place, to be dropped before the next run, or None."""
        try:
            return self.interpreter.tensor(index)()
        except ValueError:  # no memory: in a branch not taken, or folded away
            return None


def _main_graph(content):
    """Returns float activations as index -> name, and how many graphs are hidden."""
    model = _read(content)
    index = _main_index(model)
    names = {
        number: _text(tensor.name)
        for number, tensor in _activations(model, model.subgraphs[index])
    }
    return names, len(model.subgraphs) - 1


def _read(content):
    from ai_edge_litert.tools import flatbuffer_utils

    return flatbuffer_utils.read_model_from_bytearray(bytearray(content))


def _main_index(model):
    definitions = model.signatureDefs or ()
    return definitions[0].subgraphIndex if len(definitions) else 0


def _activations(model, graph):
    """Yields index and tensor of every named float32 tensor that is no constant."""
    for index, tensor in enumerate(graph.tensors):
        data = model.buffers[tensor.buffer].data
        constant = data is not None and len(data)
        if tensor.type == _FLOAT32 and tensor.name and not constant:
            yield index, tensor


def _text(name):
    return name.decode() if isinstance(name, bytes) else name


def apply(content, ranges, info=None):
    """Returns the artifact with `ranges` written as its calibration result.

    In a calibrated artifact, only tensors that have a range get another; in a
    plain float artifact every float activation gets one. Names that are missing in
    `ranges` keep what they have, tensors of other graphs too.

    Args:
        content: The `.tflite` file as bytes, from the converter with
            `_experimental_calibrate_only`, or plain float32.
        ranges: Tensor name -> `(low, high)`, from `collect`.
        info: A dict that gets `replaced`, the number of tensors written, and
            `kept`, the names that `ranges` does not have. Defaults to `None`.
    """
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    model = _read(content)
    tensors = [t for _, t in _activations(model, model.subgraphs[_main_index(model)])]
    calibrated = [tensor for tensor in tensors if _has_range(tensor)]
    replaced, kept = 0, []
    for tensor in calibrated or tensors:
        name = _text(tensor.name)
        if name not in ranges:
            kept.append(name)
            continue
        tensor.quantization = tensor.quantization or schema.QuantizationParametersT()
        low, high = ranges[name]
        tensor.quantization.min, tensor.quantization.max = [low], [high]
        replaced += 1
    if info is not None:
        info |= {"replaced": replaced, "kept": kept}
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _has_range(tensor):
    quantization = tensor.quantization
    return quantization is not None and quantization.min is not None


def as_qsv(ranges):
    """Returns `ranges` as a calibration result of litert_quantizer."""
    return {
        name: {
            "min": np.array([low], dtype="float32"),
            "max": np.array([high], dtype="float32"),
        }
        for name, (low, high) in ranges.items()
    }
