"""What is inside a `.tflite` file: signature, operations, tensor types."""

import collections


def read(content):
    """Returns `{"signature", "ops", "tensor_types", "float_ops"}` of `content`.

    `float_ops` names the operations that compute in float32, for an integer
    model a sign that these layers were not quantized.
    """
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    names = [_op_name(model, index) for index in range(len(model.operatorCodes))]
    ops, float_ops = collections.Counter(), collections.Counter()
    float32 = flatbuffer_utils.TensorType.FLOAT32
    for graph in model.subgraphs:
        for op in graph.operators or ():
            name = names[op.opcodeIndex]
            ops[name] += 1
            kinds = [graph.tensors[index].type for index in op.outputs]
            if float32 in kinds and name not in ("QUANTIZE", "DEQUANTIZE"):
                float_ops[name] += 1
    return {
        "signature": _signature(model),
        "ops": dict(sorted(ops.items())),
        "tensor_types": _tensor_types(model),
        "float_ops": dict(sorted(float_ops.items())),
    }


def flex_ops(ops):
    """Returns the names in `ops` that need the TensorFlow (Flex) runtime."""
    return [name for name in ops if name.startswith("Flex")]


def _op_name(model, index):
    from ai_edge_litert.tools import flatbuffer_utils

    custom = model.operatorCodes[index].customCode
    if custom:
        return custom.decode() if isinstance(custom, bytes) else custom
    return flatbuffer_utils.opcode_to_name(model, index)


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


def _signature(model):
    definition = (model.signatureDefs or [None])[0]
    if definition is None:
        return {"inputs": {}, "outputs": {}}
    tensors = model.subgraphs[definition.subgraphIndex].tensors
    return {
        role: {
            _text(item.name): _tensor(tensors[item.tensorIndex])
            for item in getattr(definition, role) or ()
        }
        for role in ("inputs", "outputs")
    }


def _tensor(tensor):
    from ai_edge_litert.tools import flatbuffer_utils

    shape = tensor.shapeSignature
    shape = tensor.shape if shape is None or not len(shape) else shape
    entry = {
        "shape": [None if size < 0 else int(size) for size in _sizes(shape)],
        "dtype": flatbuffer_utils.type_to_name(tensor.type).lower(),
    }
    quantization = tensor.quantization
    if quantization is not None and quantization.scale is not None:
        entry["scale"] = float(quantization.scale[0])
        entry["zero_point"] = int(quantization.zeroPoint[0])
    return entry


def _sizes(shape):
    return [] if shape is None else shape


def _text(name):
    return name.decode() if isinstance(name, bytes) else name
