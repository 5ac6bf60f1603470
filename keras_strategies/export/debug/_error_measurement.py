"""The worker's side of `debug_quantization`: measure every quantized operation.

TensorFlow's quantizer writes two debug files for it, which hold each operation
twice, as int8 and as float32, and run in LiteRT: one feeds the float twin with the
int8 inputs, so that the difference is the operation's own error; the other feeds it
with float32 inputs, so that the difference is what has added up to there.
"""

import pathlib

import numpy as np

from keras_strategies.export._calibration import (
    layer_names,
    range_collection,
    range_reducers,
)
from keras_strategies.export._common import named_arrays
from keras_strategies.export.debug import _diagnosis
from keras_strategies.export.verify import _agreement

_CHUNK = 4
# Operations that only move values: what they read is what their readers read.
_PASSIVE = [
    "BATCH_TO_SPACE_ND",
    "EXPAND_DIMS",
    "GATHER",
    "MAX_POOL_2D",
    "PACK",
    "PAD",
    "PADV2",
    "RESHAPE",
    "SLICE",
    "SPACE_TO_BATCH_ND",
    "SPLIT",
    "SQUEEZE",
    "STRIDED_SLICE",
    "TRANSPOSE",
    "UNPACK",
]
# Layers that fuse into the operation before them.
_TAILS = ["Activation", "BatchNormalization", "LeakyReLU", "ReLU", "ZeroPadding2D"]
_CAP = 120.0  # dB, written for an error of zero


def analyse(
    float_artifact, ranges, samples, layers, batch_size, excluded, tolerance, classes
):
    """Measures what int8 does to each operation of a float `.tflite` file.

    Args:
        float_artifact: Path of the float32 file.
        ranges: Path of its calibrated ranges.
        samples: Path of the samples to measure on.
        layers: `{scope: layer class}` of the trace.
        batch_size: The batch size that the file fixes, or None.
        excluded: Number of layers to leave in float32 in turn.
        tolerance: Of outputs that are values, relative to their range.
        classes: Whether outputs are classes, None to decide by their values.

    Returns:
        Dict of `rows`, `outputs`, `sensitivity`, `bytes` and `samples`.
    """
    from tensorflow.lite.python import convert

    content = pathlib.Path(float_artifact).read_bytes()
    named = {
        name: tuple(map(float, r)) for name, r in named_arrays.load(ranges).items()
    }
    calibrated = range_collection.apply(content, named)
    batches = _batches(named_arrays.load(samples), batch_size or _CHUNK)
    graph = _Graph(content, layers)
    measured = [
        _measure(
            convert.mlir_quantize(
                calibrated,
                enable_numeric_verify=True,
                enable_whole_model_verify=whole,
            ),
            batches,
        )
        for whole in (False, True)
    ]
    reference = _outputs(content, batches)

    def judge(**without):
        actual = _outputs(convert.mlir_quantize(calibrated, **without), batches)
        return _compared(reference, actual, tolerance, classes)

    outputs = judge()
    pairs = zip(*measured, strict=True)
    rows = [_row(*pair, graph) for pair in pairs if pair[1]["errors"].count]
    rows.sort(key=lambda row: min(row["sqnr_db"], row["channel_sqnr_db"]))
    worst = {}
    for row in rows:
        if row["sqnr_db"] < _CAP:
            worst.setdefault(row["layer"], row)
    sensitivity = [
        _excluded(row, graph, outputs, judge) for row in list(worst.values())[:excluded]
    ]
    return {
        "rows": rows,
        "outputs": outputs,
        "sensitivity": sensitivity,
        "bytes": len(convert.mlir_quantize(calibrated)),
        "samples": sum(len(next(iter(batch.values()))) for batch in batches),
    }


def _batches(samples, size):
    """Splits the samples into full batches, dropping the rest but one batch's worth."""
    count = len(next(iter(samples.values())))
    if count < size:
        rows = np.minimum(np.arange(size), count - 1)
        return [{name: values[rows] for name, values in samples.items()}]
    starts = range(0, count - size + 1, size)
    return [
        {name: values[start : start + size] for name, values in samples.items()}
        for start in starts
    ]


class _Graph:
    """Which operation of the float file makes and reads which tensor."""

    def __init__(self, content, layers):
        from ai_edge_litert.tools import flatbuffer_utils

        model = range_collection._read(content)
        index = range_collection._main_index(model)
        graph = model.subgraphs[index]
        self.names = [range_collection._text(tensor.name) for tensor in graph.tensors]
        self.ops, self.made, self.readers = [], {}, {}
        owners = layer_names.owners(model, layers)[index]
        for number, (op, paths) in enumerate(zip(graph.operators, owners, strict=True)):
            kind = flatbuffer_utils.opcode_to_name(model, op.opcodeIndex)
            names = [path.partition("/")[2] or path for path in paths]
            outputs = [int(i) for i in op.outputs if i >= 0]
            weights = [_constant(model, graph.tensors[i]) for i in op.inputs if i >= 0]
            found = {"op": str(kind), "layers": names, "outputs": outputs}
            found["layer"] = _main_layer(paths, names, layers)
            found["weights"] = next((w for w in weights if w is not None), None)
            self.ops.append(found)
            self.made |= {self.names[i]: number for i in outputs}
            for i in op.inputs:
                self.readers.setdefault(int(i), []).append(number)

    def reading(self, number):
        """Returns the operations that compute from the output of `number`."""
        found, todo = [], [number]
        while todo:
            for output in self.ops[todo.pop()]["outputs"]:
                for reader in self.readers.get(output, ()):
                    if reader not in found:
                        found.append(reader)
                        if self.ops[reader]["op"] in _PASSIVE:
                            todo.append(reader)
        return found

    def nodes(self, numbers):
        """Returns the output tensors' names, by which the quantizer knows them."""
        return [
            self.names[i] for number in numbers for i in self.ops[number]["outputs"]
        ]

    def whole(self, numbers):
        """Returns all operations of the layers of `numbers`: rules are by layer."""
        layers = set(self.layers_of(numbers))
        return [
            number
            for number, op in enumerate(self.ops)
            if number in numbers or layers & set(op["layers"])
        ]

    def layers_of(self, numbers):
        """Returns the layers of the operations, each once, in their order."""
        names = [name for number in numbers for name in self.ops[number]["layers"]]
        return list(dict.fromkeys(names))


def _main_layer(paths, names, layers):
    """Of the layers fused into one operation, the one that is not just its tail."""
    main = [n for p, n in zip(paths, names, strict=True) if layers[p] not in _TAILS]
    return (main or names or [""])[0]


def _constant(model, tensor):
    """Returns a float constant of two axes or more as an array, or None."""
    data = model.buffers[tensor.buffer].data
    several = tensor.shape is not None and len(tensor.shape) >= 2
    if tensor.type != 0 or data is None or not len(data) or not several:
        return None
    return np.frombuffer(bytes(data), "float32").reshape(tensor.shape)


def _measure(debug, batches):
    """Runs a debug file; returns what is known of each operation, in its order."""
    model = range_collection._read(debug)
    graph = model.subgraphs[range_collection._main_index(model)]
    entries = []
    for op in graph.operators:
        code = model.operatorCodes[op.opcodeIndex].customCode
        if code is None or range_collection._text(code) != "NumericVerify":
            continue
        quantized, twin = (int(index) for index in op.inputs)
        parameters = graph.tensors[quantized].quantization
        entry = {
            "scale": float(parameters.scale[0]),
            "zero_point": int(parameters.zeroPoint[0]),
            "twin": range_collection._text(graph.tensors[twin].name),
            "indices": (twin, int(op.outputs[0])),
            "errors": Errors(),
        }
        entries.append(entry)
    artifact = range_collection.Artifact(debug)
    for batch in batches:
        artifact.run(batch)
        for entry in entries:
            entry["errors"].add(*map(artifact.view, entry["indices"]))
    return entries


class Errors:
    """Sums over all samples of one operation's values and errors, by channel.

    The channels are the last axis; tensors without one have a single channel.
    """

    def __init__(self):
        self.power = self.noise = self.count = 0
        self.low, self.high = np.inf, -np.inf
        self.largest = 0.0
        self.shape = ()
        self.bulk = range_reducers.Percentile(99.95)
        self.peaks = self.samples = 0

    def add(self, values, difference):
        """Takes in the float values of one batch and the int8 ones minus them."""
        if values is None or not values.size:
            return
        self.shape = values.shape
        peaks = np.abs(values.reshape(len(values), -1)).max(axis=1)
        self.peaks += float(peaks.sum())
        self.samples += len(peaks)
        columns = values.shape[-1] if values.ndim > 1 else 1
        values = values.reshape(-1, columns)
        difference = difference.reshape(-1, columns)
        self.bulk.update(values)
        self.power = self.power + np.square(values).sum(axis=0, dtype="float64")
        self.noise = self.noise + np.square(difference).sum(axis=0, dtype="float64")
        self.low = np.minimum(self.low, values.min(axis=0))
        self.high = np.maximum(self.high, values.max(axis=0))
        self.largest = max(self.largest, float(np.abs(difference).max()))
        self.count += values.shape[0]

    def rmse(self):
        """Root mean square error over all values."""
        return float(np.sqrt(self.noise.sum() / (self.count * self.noise.size)))

    def sample_ratio(self):
        """The largest magnitude by what a sample's largest is on average."""
        largest = max(float(np.max(self.high)), -float(np.min(self.low)))
        return largest * self.samples / self.peaks if self.peaks else 1.0

    def sqnr(self):
        """Signal to noise in dB over all values."""
        return _decibel(self.power.sum(), self.noise.sum())

    def channel_sqnr(self):
        """The same of the median channel, of those that carry anything."""
        live = self.power > 0
        if not live.any():
            return _CAP
        return _decibel(1.0, float(np.median(self.noise[live] / self.power[live])))


def _decibel(power, noise):
    if noise <= 0:
        return _CAP
    return float(np.clip(10 * np.log10(max(power, 1e-300) / noise), -_CAP, _CAP))


def _row(entry, other, graph):
    """Returns the figures of one operation from its entry in either debug file.

    Only where operations run on float32 inputs, the twins are the float file's own.
    """
    local, whole = entry["errors"], other["errors"]
    number = graph.made[other["twin"]]
    op = graph.ops[number]
    low, high = float(np.min(whole.low)), float(np.max(whole.high))
    bulk, scale = whole.bulk.range(), entry["scale"]
    widths = np.asarray(whole.high - whole.low, dtype="float64")
    median = float(np.median(widths[widths > 0])) if (widths > 0).any() else 0.0
    fixed = op["op"] in _diagnosis.FIXED
    return {
        "layer": op["layer"],
        "layers": op["layers"],
        "readers": graph.layers_of(graph.reading(number)),
        "op": op["op"],
        "number": number,
        "reading": graph.reading(number),
        "tensor": other["twin"],
        "shape": [None, *map(int, whole.shape[1:])],
        "range": [low, high],
        "bulk": list(bulk or (low, high)),
        "scale": scale,
        "zero_point": entry["zero_point"],
        "rmse": local.rmse(),
        "rmse_scale": local.rmse() / scale,
        "max_error": local.largest,
        "sqnr_db": local.sqnr(),
        "channel_sqnr_db": local.sqnr() if fixed else local.channel_sqnr(),
        "cumulative_rmse": whole.rmse(),
        "cumulative_sqnr_db": whole.sqnr(),
        "cumulative_channel_sqnr_db": whole.sqnr() if fixed else whole.channel_sqnr(),
        "channel": int(np.argmax(widths)),
        "channel_ratio": float(widths.max() / median) if median else 1.0,
        "channel_levels": median / scale,
        "sample_ratio": whole.sample_ratio(),
        "weight_ratio": _weight_ratio(op),
    }


def _weight_ratio(op):
    """How far the largest weight of a channel lies above its own middle 99 %.

    Weights are quantized by output channel, the first axis, or the last one of a
    depthwise convolution; the worst channel counts.
    """
    weights = op["weights"]
    if weights is None:
        return None
    axis = -1 if op["op"] == "DEPTHWISE_CONV_2D" else 0
    size = np.abs(np.moveaxis(weights, axis, 0).reshape(weights.shape[axis], -1))
    usual = np.quantile(size, 0.99, axis=1, method="lower")
    live = usual > 0
    return float((size.max(axis=1)[live] / usual[live]).max()) if live.any() else None


def _outputs(content, batches):
    """Returns the artifact's outputs on all batches, by name."""
    artifact = range_collection.Artifact(content, preserve=False)
    parts = [artifact.run(batch) for batch in batches]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _compared(reference, actual, tolerance, classes):
    """Returns the agreement and the relative error of all outputs."""
    found = {
        name: _agreement.compare(value, actual[name], tolerance, classes)
        for name, value in reference.items()
    }
    errors = [
        float(np.sqrt(np.mean(np.square(value.astype("float64") - actual[name]))))
        / _agreement.value_scale(value)
        for name, value in reference.items()
    ]
    return {
        "agreement": min(entry["agreement"] for entry in found.values()),
        "error": float(np.sqrt(np.mean(np.square(errors)))),
        "outputs": found,
    }


def _excluded(row, graph, outputs, judge):
    """Returns what leaving one layer in float32 gains, alone or with its readers.

    An activation stays int8 as long as whatever reads it is int8, so a layer whose
    output is the trouble only helps together with its readers.
    """
    number = row["number"]
    groups = [
        graph.whole(numbers) for numbers in ([number], [number, *graph.reading(number)])
    ]
    results = [judge(denylisted_nodes=graph.nodes(group)) for group in groups]
    alone, joint = (outputs["error"] - result["error"] for result in results)
    best = 0 if alone >= 0.8 * joint else 1
    return {
        "layer": row["layer"],
        "tensor": row["tensor"],
        "float_layers": graph.layers_of(groups[best]),
        "agreement": results[best]["agreement"],
        "agreement_gain": results[best]["agreement"] - outputs["agreement"],
        "error": results[best]["error"],
        "error_ratio": results[best]["error"] / max(outputs["error"], 1e-12),
    }
