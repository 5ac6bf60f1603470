"""Tensors and zeros of a parsed `.tflite` file."""

import numpy as np

from keras_strategies.export.artifact import _flatbuffer

_STORED = {
    "float32": np.float32,
    "float64": np.float64,
    "float16": np.float16,
    "bfloat16": np.uint16,  # zero is zero
    "int8": np.int8,
    "uint8": np.uint8,
    "int16": np.int16,
}
_NIBBLES = ("int4", "uint4")


def tensors(model):
    """Returns one dict for each tensor: graph, name, dtype, shape, bytes, scales.

    `bytes` is the size of its constant data, `scales` the number of quantization
    scales (more than one: per channel), `constant` whether it has data.
    """
    from ai_edge_litert.tools import flatbuffer_utils

    rows = []
    with _flatbuffer.guarded():
        for number, graph in enumerate(model.subgraphs):
            for tensor in graph.tensors:
                data = model.buffers[tensor.buffer].data
                quantization = tensor.quantization
                scales = None if quantization is None else quantization.scale
                shape = () if tensor.shape is None else tensor.shape
                rows.append(
                    {
                        "graph": number,
                        "name": _flatbuffer.text(tensor.name or ""),
                        "dtype": flatbuffer_utils.type_to_name(tensor.type).lower(),
                        "shape": tuple(int(size) for size in shape),
                        "bytes": 0 if data is None else len(data),
                        "scales": 0 if scales is None else len(scales),
                        "constant": data is not None and len(data) > 0,
                    }
                )
    return rows


def sparsity(model):
    """Returns `{"total": fraction, "tensors": {name: fraction}}` of zero weights.

    Weights are constant float and quantized tensors of two axes or more; a buffer
    that several tensors share counts once. `total` is None if there are none.
    """
    found, zeros, sizes, seen = {}, 0, 0, set()
    with _flatbuffer.guarded():
        for graph in model.subgraphs:
            for tensor in graph.tensors:
                if tensor.buffer in seen:
                    continue
                counted = _zeros(model, tensor)
                if counted is None:
                    continue
                seen.add(tensor.buffer)
                zero, size = counted
                name = _flatbuffer.text(tensor.name or "")
                found[f"{name}#{len(found)}" if name in found else name] = zero / size
                zeros, sizes = zeros + zero, sizes + size
    return {"total": zeros / sizes if sizes else None, "tensors": found}


def _zeros(model, tensor):
    """Returns `(zeros, size)` of a weight tensor, or None for any other one."""
    from ai_edge_litert.tools import flatbuffer_utils

    data = model.buffers[tensor.buffer].data
    kind = flatbuffer_utils.type_to_name(tensor.type).lower()
    size = int(np.prod(tensor.shape)) if tensor.shape is not None else 0
    if data is None or not len(data) or len(tensor.shape) < 2 or not size:
        return None
    raw = np.asarray(data, dtype=np.uint8)
    if kind in _NIBBLES:
        values = np.stack([raw & 15, raw >> 4], axis=1).ravel()[:size].astype("int16")
        if kind == "int4":
            values = np.where(values > 7, values - 16, values)
    elif kind in _STORED:
        values = np.frombuffer(raw.tobytes(), _STORED[kind])
    else:
        return None
    stored = values != _zero_point(tensor, values)
    # A sparsely encoded tensor stores few of its zeros.
    return size - int(np.count_nonzero(stored)), size


def _zero_point(tensor, values):
    quantization = tensor.quantization
    zeros = None if quantization is None else quantization.zeroPoint
    if zeros is None or not len(zeros) or values.dtype.kind == "f":
        return 0
    if len(set(zeros)) == 1 or values.size != np.prod(tensor.shape):
        return zeros[0]
    axis = quantization.quantizedDimension
    shape = np.where(np.arange(len(tensor.shape)) == axis, tensor.shape, 1)
    return np.broadcast_to(np.reshape(zeros, shape), tensor.shape).ravel()
