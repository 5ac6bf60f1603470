"""What is inside a `.tflite` file: signatures, operations, tensor types."""

import collections
import contextlib
import struct

from keras_strategies.export._common.export_error import ExportError

IDENTIFIER = b"TFL3"
# What the generated parser raises on damaged bytes.
_BROKEN = (
    struct.error,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    OverflowError,
    MemoryError,
    RecursionError,
)


def check_header(content, path="the file"):
    """Raises `ExportError` unless `content` starts as a `.tflite` file does."""
    if len(content) < 8 or content[4:8] != IDENTIFIER:
        what = "is empty" if not content else "does not start as a .tflite file does"
        message = f"'{path}' {what} (identifier TFL3 at byte 4): it cannot be opened."
        raise ExportError(message, "load")


@contextlib.contextmanager
def guarded():
    """Turns what damaged tables raise inside the block into an `ExportError`."""
    try:
        yield
    except _BROKEN as error:
        text = f"{type(error).__name__}: {error}"
        message = f"The .tflite file is damaged: its tables cannot be read ({text})."
        raise ExportError(message, "load") from error


def parse(content):
    """Returns the schema's object tree of `content`, or raises `ExportError`."""
    from ai_edge_litert.tools import flatbuffer_utils

    check_header(content)
    with guarded():
        model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
        if not model.subgraphs:
            raise ValueError("no graph inside")
    return model


def read(content):
    """Returns `{"signature", "ops", "tensor_types", "float_ops"}` of `content`.

    `float_ops` names the operations that compute in float32, for an integer
    model a sign that these layers were not quantized.
    """
    return describe(parse(content))


def describe(model):
    """Returns what `read` does for a parsed file."""
    with guarded():
        found = signatures(model)
        first = next(iter(found.values())) if model.signatureDefs else None
        return {
            "signature": first or {"inputs": {}, "outputs": {}},
            "ops": ops(model),
            "tensor_types": _tensor_types(model),
            "float_ops": _float_ops(model),
        }


@guarded()
def ops(model):
    """Returns `{operation name: count}`, sorted by name."""
    names = _op_names(model)
    found = collections.Counter(
        names[op.opcodeIndex] for graph in model.subgraphs for op in graph.operators
    )
    return dict(sorted(found.items()))


def _float_ops(model):
    from ai_edge_litert.tools import flatbuffer_utils

    names, found = _op_names(model), collections.Counter()
    float32 = flatbuffer_utils.TensorType.FLOAT32
    for graph in model.subgraphs:
        for op in graph.operators:
            name = names[op.opcodeIndex]
            kinds = [graph.tensors[index].type for index in op.outputs]
            if float32 in kinds and name not in ("QUANTIZE", "DEQUANTIZE"):
                found[name] += 1
    return dict(sorted(found.items()))


def flex_ops(ops):
    """Returns the names in `ops` that need the TensorFlow (Flex) runtime."""
    return [name for name in ops if name.startswith("Flex")]


def _op_names(model):
    from ai_edge_litert.tools import flatbuffer_utils

    names = []
    for index, code in enumerate(model.operatorCodes or ()):
        name = flatbuffer_utils.opcode_to_name(model, index)
        names.append(text(code.customCode) if code.customCode else str(name))
    return names


def _tensor_types(model):
    from ai_edge_litert.tools import flatbuffer_utils

    table, seen = {}, set()
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            kind = flatbuffer_utils.type_to_name(tensor.type).lower()
            entry = table.setdefault(kind, {"tensors": 0, "bytes": 0})
            entry["tensors"] += 1
            data = model.buffers[tensor.buffer].data
            if tensor.buffer not in seen and data is not None:
                seen.add(tensor.buffer)
                entry["bytes"] += len(data)
    return dict(sorted(table.items()))


@guarded()
def signatures(model):
    """Returns `{signature name: {"inputs": {name: {...}}, "outputs": {...}}}`.

    A file without signatures has one called `""`, named by its tensors.
    """
    found = {}
    for definition in model.signatureDefs or ():
        tensors = model.subgraphs[definition.subgraphIndex].tensors
        found[text(definition.signatureKey)] = {
            role: {
                text(item.name): _tensor(tensors[item.tensorIndex])
                for item in getattr(definition, role) or ()
            }
            for role in ("inputs", "outputs")
        }
    if not found:
        graph = model.subgraphs[0]
        found[""] = {
            role: {
                text(graph.tensors[index].name): _tensor(graph.tensors[index])
                for index in _sizes(getattr(graph, role))
            }
            for role in ("inputs", "outputs")
        }
    return found


@guarded()
def has_free_axes(model):
    """Whether any input of any signature has an axis of free size."""
    return any(
        None in entry["shape"]
        for signature in signatures(model).values()
        for entry in signature["inputs"].values()
    )


def _tensor(tensor):
    from ai_edge_litert.tools import flatbuffer_utils

    shape = tensor.shapeSignature
    shape = tensor.shape if shape is None or not len(shape) else shape
    entry = {
        "shape": [None if size < 0 else int(size) for size in _sizes(shape)],
        "dtype": flatbuffer_utils.type_to_name(tensor.type).lower(),
    }
    quantization = tensor.quantization
    if quantization is not None and len(_sizes(quantization.scale)):
        entry["scale"] = float(quantization.scale[0])
        zeros = _sizes(quantization.zeroPoint)
        entry["zero_point"] = int(zeros[0]) if len(zeros) else 0
    return entry


def _sizes(shape):
    return [] if shape is None else shape


def text(name):
    """Returns a name of the file as `str`."""
    return name.decode() if isinstance(name, bytes) else name
