"""Signatures, operations and tensor types of a `.tflite` file."""

import collections
import contextlib
import struct
from collections.abc import Iterable, Iterator
from typing import Any

from keras_strategies.export._common import ExportError

IDENTIFIER = b"TFL3"
# Exceptions of the generated parser on damaged bytes.
_PARSER_ERRORS = (
    struct.error,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    OverflowError,
    MemoryError,
    RecursionError,
)


def check_header(content: bytes, path: str = "the file") -> None:
    """Raises `ExportError` unless `content` starts as a `.tflite` file does."""
    if len(content) < 8 or content[4:8] != IDENTIFIER:
        defect = "is empty" if not content else "does not start as a .tflite file does"
        message = f"'{path}' {defect} (identifier TFL3 at byte 4): it cannot be opened."
        raise ExportError(message, "load")


@contextlib.contextmanager
def parser_errors() -> Iterator[None]:
    """Turns what damaged tables raise inside the block into an `ExportError`."""
    try:
        yield
    except _PARSER_ERRORS as error:
        text = f"{type(error).__name__}: {error}"
        message = f"The .tflite file is damaged: its tables cannot be read ({text})."
        raise ExportError(message, "load") from error


def parse(content: bytes) -> Any:
    """Returns the schema's object tree of `content`, or raises `ExportError`."""
    from ai_edge_litert.tools import flatbuffer_utils

    check_header(content)
    with parser_errors():
        model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
        if not model.subgraphs:
            raise ValueError("no graph inside")
    return model


def read(content: bytes) -> dict[str, Any]:
    """Returns `{"signature", "ops", "tensor_types", "float_ops"}` of `content`.

    `float_ops` names the operations that compute in float32, for an integer
    model a sign that these layers were not quantized.
    """
    return describe(parse(content))


def describe(model: Any) -> dict[str, Any]:
    """Returns what `read` does for a parsed file."""
    with parser_errors():
        named = signatures(model)
        first = next(iter(named.values())) if model.signatureDefs else None
        return {
            "signature": first or {"inputs": {}, "outputs": {}},
            "ops": count_ops(model),
            "tensor_types": _tensor_types(model),
            "float_ops": _float_ops(model),
        }


@parser_errors()
def count_ops(model: Any) -> dict[str, int]:
    """Returns `{operation name: count}`, sorted by name."""
    names = op_names(model)
    counts = collections.Counter(
        names[op.opcodeIndex] for graph in model.subgraphs for op in graph.operators
    )
    return dict(sorted(counts.items()))


def _float_ops(model):
    from ai_edge_litert.tools import flatbuffer_utils

    names, counts = op_names(model), collections.Counter()
    float32 = flatbuffer_utils.TensorType.FLOAT32
    for graph in model.subgraphs:
        for op in graph.operators:
            name = names[op.opcodeIndex]
            types = [graph.tensors[index].type for index in op.outputs]
            if float32 in types and name not in ("QUANTIZE", "DEQUANTIZE"):
                counts[name] += 1
    return dict(sorted(counts.items()))


def flex_ops(ops: Iterable[str]) -> list[str]:
    """Returns the names in `ops` that need the TensorFlow (Flex) runtime."""
    return [name for name in ops if name.startswith("Flex")]


def op_names(model: Any) -> list[str]:
    """Returns the name of each operator code of a parsed file."""
    from ai_edge_litert.tools import flatbuffer_utils

    names = []
    for index, code in enumerate(model.operatorCodes or ()):
        name = flatbuffer_utils.opcode_to_name(model, index)
        # Flex operations are custom ones, with their name as the custom code.
        names.append(decode(code.customCode) if code.customCode else str(name))
    return names


def _tensor_types(model):
    from ai_edge_litert.tools import flatbuffer_utils

    table, counted = {}, set()
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            dtype = flatbuffer_utils.type_to_name(tensor.type).lower()
            entry = table.setdefault(dtype, {"tensors": 0, "bytes": 0})
            entry["tensors"] += 1
            data = model.buffers[tensor.buffer].data
            # Tensors of several signatures may share one buffer.
            if tensor.buffer not in counted and data is not None:
                counted.add(tensor.buffer)
                entry["bytes"] += len(data)
    return dict(sorted(table.items()))


@parser_errors()
def signatures(model: Any) -> dict[str, Any]:
    """Returns `{signature name: {"inputs": {name: {...}}, "outputs": {...}}}`.

    A file without signatures has one called `""`, named by its tensors.
    """
    named = {}
    for definition in model.signatureDefs or ():
        tensors = model.subgraphs[definition.subgraphIndex].tensors
        named[decode(definition.signatureKey)] = {
            role: {
                decode(item.name): _describe_tensor(tensors[item.tensorIndex])
                for item in getattr(definition, role) or ()
            }
            for role in ("inputs", "outputs")
        }
    if not named:
        graph = model.subgraphs[0]
        named[""] = {
            role: {
                decode(graph.tensors[index].name): _describe_tensor(
                    graph.tensors[index]
                )
                for index in _as_list(getattr(graph, role))
            }
            for role in ("inputs", "outputs")
        }
    return named


@parser_errors()
def has_free_axes(model: Any) -> bool:
    """Whether any input of any signature has an axis of free size."""
    return any(
        None in entry["shape"]
        for signature in signatures(model).values()
        for entry in signature["inputs"].values()
    )


def _describe_tensor(tensor):
    from ai_edge_litert.tools import flatbuffer_utils

    # The signature of the shape has -1 for a free axis, the shape itself has 1.
    shape = tensor.shapeSignature
    shape = tensor.shape if shape is None or not len(shape) else shape
    entry = {
        "shape": [None if size < 0 else int(size) for size in _as_list(shape)],
        "dtype": flatbuffer_utils.type_to_name(tensor.type).lower(),
    }
    quantization = tensor.quantization
    if quantization is not None and len(_as_list(quantization.scale)):
        entry["scale"] = float(quantization.scale[0])
        zero_points = _as_list(quantization.zeroPoint)
        entry["zero_point"] = int(zero_points[0]) if len(zero_points) else 0
    return entry


def _as_list(vector):
    return [] if vector is None else vector


def decode(name: str | bytes | None) -> str:
    """Returns a name of the file as `str`, `""` where there is none."""
    return name.decode() if isinstance(name, bytes) else name or ""
