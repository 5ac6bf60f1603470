"""Measurement of the error of every quantized operation (worker side).

TensorFlow's quantizer writes two debug files for it, which hold each operation
twice, as int8 and as float32, and run in LiteRT: one feeds the float twin with the
int8 inputs, so that the difference is the operation's own error; the other feeds it
with float32 inputs, so that the difference is the error of all operations up to it.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_strategies.export._calibration import float_graph, range_collection
from keras_strategies.export._calibration.tensorflow_quantizer import load_ranges
from keras_strategies.export._common import named_arrays
from keras_strategies.export._common.sample_data import (
    join_samples,
    num_samples,
    select_samples,
)
from keras_strategies.export.artifact._flatbuffer import decode
from keras_strategies.export.debug import _diagnosis
from keras_strategies.export.debug._error_sums import MAX_DECIBEL, ErrorSums
from keras_strategies.export.debug._operation_graph import OperationGraph
from keras_strategies.export.verify import _agreement
from keras_strategies.export.verify._criteria import MODE_LIMITS
from keras_strategies.export.verify._output_kinds import Span

_BATCH_SIZE = 4
# Fraction of the joint gain from which a layer in float32 is enough without the
# layers that read it.
_SUFFICIENT_GAIN = 0.8


def measure(
    float_artifact: str,
    ranges: str,
    samples: str,
    layers: Mapping[str, str],
    batch_size: int | None,
    sensitivity_layers: int,
    tolerance: float,
    spans: Mapping[str, Sequence[Mapping[str, Any]]],
) -> dict[str, Any]:
    """Measures the error that int8 causes in each operation of a float file.

    Args:
        float_artifact: Path of the float32 file.
        ranges: Path of its calibrated ranges.
        samples: Path of the samples to measure on.
        layers: `{scope: layer class}` of the trace.
        batch_size: The batch size that the file fixes, or None.
        sensitivity_layers: Number of layers to compute in float32 in turn.
        tolerance: Of outputs that are values, relative to the range of a channel.
        spans: What the channels of the outputs mean.

    Returns:
        Dict of `rows`, `outputs`, `sensitivity`, `bytes` and `samples`.
    """
    from tensorflow.lite.python import convert

    content = pathlib.Path(float_artifact).read_bytes()
    calibrated = range_collection.write_ranges(content, load_ranges(ranges))
    batches = _split_into_batches(named_arrays.load(samples), batch_size or _BATCH_SIZE)
    graph = OperationGraph(content, layers)
    local, cumulative = (
        _measure_debug_file(
            convert.mlir_quantize(
                calibrated,
                enable_numeric_verify=True,
                enable_whole_model_verify=whole_model,
            ),
            batches,
        )
        for whole_model in (False, True)
    )
    reference = _run_outputs(content, batches)
    meanings = {name: [Span(**span) for span in entry] for name, entry in spans.items()}

    def compare(quantized):
        actual = _run_outputs(quantized, batches)
        return _compare_outputs(reference, actual, tolerance, meanings)

    def compare_without(names):
        return compare(convert.mlir_quantize(calibrated, denylisted_nodes=names))

    int8 = convert.mlir_quantize(calibrated)
    outputs = compare(int8)
    rows = [
        _row(*pair, graph)
        for pair in zip(local, cumulative, strict=True)
        if pair[1]["errors"].count
    ]
    rows.sort(key=_diagnosis.local_score)
    sensitivity = [
        _measure_sensitivity(row, graph, outputs, compare_without)
        for row in _worst_of_each_layer(rows)[:sensitivity_layers]
    ]
    return {
        "rows": rows,
        "outputs": outputs,
        "sensitivity": sensitivity,
        "bytes": len(int8),
        "samples": sum(num_samples(batch) for batch in batches),
    }


def _worst_of_each_layer(rows):
    """The first row of each layer; operations without error cannot gain."""
    worst = {}
    for row in rows:
        if row["sqnr_db"] < MAX_DECIBEL:
            worst.setdefault(row["layer"], row)
    return list(worst.values())


def _split_into_batches(samples, size):
    """Splits the samples into full batches; fewer than `size` are repeated."""
    count = num_samples(samples)
    if count < size:
        return [select_samples(samples, np.minimum(np.arange(size), count - 1))]
    starts = range(0, count - size + 1, size)
    return [select_samples(samples, slice(start, start + size)) for start in starts]


def _measure_debug_file(debug_content, batches):
    """Runs a debug file; returns the figures of each operation, in its order.

    An operation `NumericVerify` has the int8 tensor and its float twin as inputs and
    their difference as output.
    """
    model = float_graph.read_model(debug_content)
    graph = float_graph.main_graph(model)
    entries = []
    for op in graph.operators:
        code = model.operatorCodes[op.opcodeIndex].customCode
        if decode(code) != "NumericVerify":
            continue
        int8_tensor, float_twin = (int(index) for index in op.inputs)
        parameters = graph.tensors[int8_tensor].quantization
        entry = {
            "scale": float(parameters.scale[0]),
            "zero_point": int(parameters.zeroPoint[0]),
            "twin": decode(graph.tensors[float_twin].name),
            "indices": (float_twin, int(op.outputs[0])),
            "errors": ErrorSums(),
        }
        entries.append(entry)
    interpreter = range_collection.ObservedInterpreter(debug_content)
    for batch in batches:
        interpreter.run(batch)
        for entry in entries:
            entry["errors"].add(*map(interpreter.view, entry["indices"]))
    return entries


def _row(local_entry, cumulative_entry, graph):
    """Returns the figures of one operation from its entry in either debug file.

    Only where operations run on float32 inputs, the twins are the float file's own.
    """
    local, cumulative = local_entry["errors"], cumulative_entry["errors"]
    number = graph.producers[cumulative_entry["twin"]]
    op, consumers = graph.ops[number], graph.consumers(number)
    low, high = float(np.min(cumulative.low)), float(np.max(cumulative.high))
    scale = local_entry["scale"]
    # Operations of prescribed scale are judged as a whole: their channels share it.
    has_fixed_scale = op["op"] in _diagnosis.FIXED_SCALE_OPS
    return {
        "layer": op["layer"],
        "layers": op["layers"],
        "readers": graph.layers_of(consumers),
        "op": op["op"],
        "number": number,
        "reading": consumers,
        "tensor": cumulative_entry["twin"],
        "shape": [None, *map(int, cumulative.shape[1:])],
        "range": [low, high],
        "bulk": list(cumulative.bulk.range() or (low, high)),
        "scale": scale,
        "zero_point": local_entry["zero_point"],
        "rmse": local.rmse(),
        "rmse_scale": local.rmse() / scale,
        "max_error": local.max_error,
        "sqnr_db": local.sqnr(),
        "channel_sqnr_db": local.sqnr() if has_fixed_scale else local.channel_sqnr(),
        "cumulative_rmse": cumulative.rmse(),
        "cumulative_sqnr_db": cumulative.sqnr(),
        "cumulative_channel_sqnr_db": cumulative.sqnr()
        if has_fixed_scale
        else cumulative.channel_sqnr(),
        **_channel_figures(cumulative, scale),
        "sample_ratio": cumulative.sample_ratio(),
        "weight_ratio": _weight_ratio(op),
    }


def _channel_figures(errors, scale):
    """Compares the range of the widest channel with that of the median one."""
    widths = np.asarray(errors.high - errors.low, dtype="float64")
    median = float(np.median(widths[widths > 0])) if (widths > 0).any() else 0.0
    return {
        "channel": int(np.argmax(widths)),
        "channel_ratio": float(widths.max() / median) if median else 1.0,
        "channel_levels": median / scale,
    }


def _weight_ratio(op):
    """Ratio of the largest weight of a channel to its 99th percentile.

    Weights are quantized by output channel, the first axis, or the last one of a
    depthwise convolution; the worst channel counts.
    """
    weights = op["weights"]
    if weights is None:
        return None
    axis = -1 if op["op"] == "DEPTHWISE_CONV_2D" else 0
    rows = np.abs(np.moveaxis(weights, axis, 0).reshape(weights.shape[axis], -1))
    usual = np.quantile(rows, 0.99, axis=1, method="lower")
    is_live = usual > 0
    if not is_live.any():
        return None
    return float((rows.max(axis=1)[is_live] / usual[is_live]).max())


def _run_outputs(content, batches):
    """Returns the artifact's outputs on all batches, by name."""
    interpreter = range_collection.ObservedInterpreter(content, preserve=False)
    return join_samples([interpreter.run(batch) for batch in batches])


def _compare_outputs(reference, actual, tolerance, spans):
    """Returns the agreement and the relative error of all outputs."""
    rounding = MODE_LIMITS["int8"].rounding
    outputs = {
        name: _agreement.compare_output(
            value, actual[name], spans[name], tolerance, rounding
        )
        for name, value in reference.items()
    }
    errors = [
        _agreement.relative_error(value, actual[name])
        for name, value in reference.items()
    ]
    return {
        "agreement": min(entry["agreement"] for entry in outputs.values()),
        "error": float(np.sqrt(np.mean(np.square(errors)))),
        "outputs": outputs,
    }


def _measure_sensitivity(row, graph, outputs, compare_without):
    """Returns the gain of one layer in float32, alone or with its consumers.

    An activation stays int8 as long as an operation that reads it is int8, so a
    layer whose output is the problem only helps together with its consumers.
    """
    number = row["number"]
    groups = [
        graph.whole_layers(numbers)
        for numbers in ([number], [number, *graph.consumers(number)])
    ]
    results = [compare_without(graph.output_names(group)) for group in groups]
    gain, joint_gain = (outputs["error"] - result["error"] for result in results)
    best = 0 if gain >= _SUFFICIENT_GAIN * joint_gain else 1
    return {
        "layer": row["layer"],
        "tensor": row["tensor"],
        "float_layers": graph.layers_of(groups[best]),
        "agreement": results[best]["agreement"],
        "agreement_gain": results[best]["agreement"] - outputs["agreement"],
        "error": results[best]["error"],
        "error_ratio": results[best]["error"] / max(outputs["error"], 1e-12),
    }
