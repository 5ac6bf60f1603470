"""Tensors and zero weights of a parsed `.tflite` file."""

from typing import Any

import numpy as np

from keras_strategies.export.artifact import _flatbuffer

_STORED_TYPES = {
    "float32": np.float32,
    "float64": np.float64,
    "float16": np.float16,
    "bfloat16": np.uint16,  # zero is zero
    "int8": np.int8,
    "uint8": np.uint8,
    "int16": np.int16,
}
_FOUR_BIT_TYPES = ("int4", "uint4")


def list_tensors(model: Any) -> list[dict[str, Any]]:
    """Returns one dict for each tensor: graph, name, dtype, shape, bytes, scales.

    `bytes` is the size of its constant data, `scales` the number of quantization
    scales (more than one: per channel), `constant` whether it has data.
    """
    from ai_edge_litert.tools import flatbuffer_utils

    rows = []
    with _flatbuffer.parser_errors():
        for number, graph in enumerate(model.subgraphs):
            for tensor in graph.tensors:
                data = model.buffers[tensor.buffer].data
                quantization = tensor.quantization
                scales = None if quantization is None else quantization.scale
                shape = () if tensor.shape is None else tensor.shape
                rows.append(
                    {
                        "graph": number,
                        "name": _flatbuffer.decode(tensor.name),
                        "dtype": flatbuffer_utils.type_to_name(tensor.type).lower(),
                        "shape": tuple(int(size) for size in shape),
                        "bytes": 0 if data is None else len(data),
                        "scales": 0 if scales is None else len(scales),
                        "constant": data is not None and len(data) > 0,
                    }
                )
    return rows


def measure_sparsity(model: Any) -> dict[str, Any]:
    """Returns `{"total": fraction, "tensors": {name: fraction}}` of zero weights.

    Weights are constant float and quantized tensors of two axes or more; a buffer
    that several tensors share counts once. `total` is None if there are none.
    """
    fractions, zeros, sizes, counted = {}, 0, 0, set()
    with _flatbuffer.parser_errors():
        for graph in model.subgraphs:
            for tensor in graph.tensors:
                if tensor.buffer in counted:
                    continue
                counts = _count_zeros(model, tensor)
                if counts is None:
                    continue
                counted.add(tensor.buffer)
                name = _flatbuffer.decode(tensor.name)
                name = f"{name}#{len(fractions)}" if name in fractions else name
                fractions[name] = counts[0] / counts[1]
                zeros, sizes = zeros + counts[0], sizes + counts[1]
    return {"total": zeros / sizes if sizes else None, "tensors": fractions}


def _count_zeros(model, tensor):
    """Returns `(zeros, size)` of a weight tensor, or None for any other tensor."""
    from ai_edge_litert.tools import flatbuffer_utils

    data = model.buffers[tensor.buffer].data
    dtype = flatbuffer_utils.type_to_name(tensor.type).lower()
    size = int(np.prod(tensor.shape)) if tensor.shape is not None else 0
    if data is None or not len(data) or len(tensor.shape) < 2 or not size:
        return None
    raw = np.asarray(data, dtype=np.uint8)
    if dtype in _FOUR_BIT_TYPES:
        # Two values a byte, the lower four bits first.
        values = np.stack([raw & 15, raw >> 4], axis=1).ravel()[:size].astype("int16")
        if dtype == "int4":
            values = np.where(values > 7, values - 16, values)
    elif dtype in _STORED_TYPES:
        values = np.frombuffer(raw.tobytes(), _STORED_TYPES[dtype])
    else:
        return None
    # An integer stands for 0 where it is the zero point of its channel.
    is_nonzero = values != _zero_point(tensor, values)
    # A sparsely encoded tensor stores few of its zeros.
    return size - int(np.count_nonzero(is_nonzero)), size


def _zero_point(tensor, values):
    quantization = tensor.quantization
    zero_points = None if quantization is None else quantization.zeroPoint
    if zero_points is None or not len(zero_points) or values.dtype.kind == "f":
        return 0
    if len(set(zero_points)) == 1 or values.size != np.prod(tensor.shape):
        return zero_points[0]
    axis = quantization.quantizedDimension
    shape = np.where(np.arange(len(tensor.shape)) == axis, tensor.shape, 1)
    return np.broadcast_to(np.reshape(zero_points, shape), tensor.shape).ravel()
