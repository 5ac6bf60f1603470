"""Memory that a graph needs at once, planned as microcontrollers plan it."""

import math
from collections.abc import Sequence
from typing import Any

from keras_strategies.export.artifact import _flatbuffer

ALIGNMENT = 16
# Bytes of the interpreter's own tables, fitted to ten files in the interpreter of
# tflite-micro on a 64-bit processor (0.94 to 1.12 of the arenas in all).
_BASE, _PER_TENSOR, _PER_OP = 700, 24, 150
# The factors of each output channel, of dense layers only where they differ by channel.
_PER_CHANNEL = {"CONV_2D": 8, "DEPTHWISE_CONV_2D": 8, "TRANSPOSE_CONV": 8}
_PER_CHANNEL |= {"FULLY_CONNECTED": 12}
_BITS = {"float64": 64, "int64": 64, "uint64": 64, "complex64": 64, "complex128": 128}
_BITS |= {"float16": 16, "bfloat16": 16, "int16": 16, "uint16": 16}
_BITS |= {"int8": 8, "uint8": 8, "bool": 8, "int4": 4, "uint4": 4}


def estimate(model: Any) -> int:
    """Returns the bytes of the tensor arena, estimated from the parsed file.

    The tensors are planned exactly; what kernels allocate beside them is not known.
    Free axes count 1, as the file says.
    """
    head = largest_sum(tensor_lifetimes(model))
    tail, names = _BASE, _flatbuffer.op_names(model)
    for graph in model.subgraphs:
        tail += _PER_TENSOR * len(graph.tensors) + _PER_OP * len(graph.operators)
        for op in graph.operators:
            tail += _factors(op, names[op.opcodeIndex], graph.tensors)
    return aligned(head + tail)


def _factors(op, name, tensors):
    """Bytes of the factors of an operation's channels."""
    inputs = _indices(op.inputs)
    if name not in _PER_CHANNEL or len(inputs) < 2:
        return 0
    weights = tensors[inputs[1]]
    scales = None if weights.quantization is None else weights.quantization.scale
    channels = 0 if scales is None or len(scales) < 2 else len(scales)
    if name != "FULLY_CONNECTED":
        axis = -1 if name == "DEPTHWISE_CONV_2D" else 0
        channels = int(weights.shape[axis])
    return _PER_CHANNEL[name] * channels


def tensor_lifetimes(model: Any) -> list[tuple[int, int, int]]:
    """Returns `(bytes, first operation, last operation)` of what is no constant.

    Of the first graph; inputs live from the start and outputs to the end.
    """
    from ai_edge_litert.tools import flatbuffer_utils

    graph = model.subgraphs[0]
    first: dict[int, int] = dict.fromkeys(_indices(graph.inputs), 0)
    last: dict[int, int] = dict.fromkeys(_indices(graph.inputs), 0)
    for step, op in enumerate(graph.operators):
        for index in [*_indices(op.inputs), *_indices(op.outputs)]:
            first.setdefault(index, step)
            last[index] = step
    for index in _indices(graph.outputs):
        first.setdefault(index, 0)
        last[index] = max(len(graph.operators) - 1, 0)
    result = []
    for index, start in first.items():
        tensor = graph.tensors[index]
        data = model.buffers[tensor.buffer].data
        if (data is not None and len(data)) or tensor.isVariable:
            continue  # in flash, or persistent
        dtype = flatbuffer_utils.type_to_name(tensor.type).lower()
        count = math.prod(int(size) for size in _indices(tensor.shape))
        size = aligned(-(-count * _BITS.get(dtype, 32) // 8))
        result.append((size, start, last[index]))
    return result


def largest_sum(lifetimes: Sequence[tuple[int, int, int]]) -> int:
    """Returns the end of the last buffer: the largest first, each in the first gap.

    That is the interpreter's greedy planner.
    """
    placed: list[tuple[int, int, int, int]] = []  # offset, size, first, last
    for size, first, last in sorted(lifetimes, key=lambda entry: -entry[0]):
        offset = 0
        for other, length, begin, end in sorted(placed):
            if end < first or begin > last:
                continue
            if offset + size <= other:
                break
            offset = max(offset, other + length)
        placed.append((offset, size, first, last))
    return max((offset + size for offset, size, _, _ in placed), default=0)


def _indices(vector):
    return [] if vector is None else [int(index) for index in vector if index >= 0]


def aligned(size: int) -> int:
    """Returns `size`, rounded up to the alignment of the arena."""
    return -(-size // ALIGNMENT) * ALIGNMENT
