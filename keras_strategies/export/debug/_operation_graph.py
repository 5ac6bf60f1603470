"""Operations of a float `.tflite` file: their layers, producers and consumers."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from keras_strategies.export._calibration import float_graph, layer_names
from keras_strategies.export.artifact._flatbuffer import decode

# Operations that only move values: their consumers read what they read.
_DATA_MOVEMENT = (
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
)
# Layers that the converter fuses into the operation before them.
_FUSED_LAYERS = (
    "Activation",
    "BatchNormalization",
    "LeakyReLU",
    "ReLU",
    "ZeroPadding2D",
)


class OperationGraph:
    """Producers and consumers of the tensors of a float file.

    Args:
        content: The file as bytes.
        layers: `{scope: layer class}` of the trace.

    Attributes:
        ops: One dict for each operation: `op`, `layer`, `layers`, `outputs` (tensor
            indices) and `weights` (an array, or None).
        producers: Tensor name -> number of the operation that computes it.
    """

    def __init__(self, content: bytes, layers: Mapping[str, str]) -> None:
        from ai_edge_litert.tools import flatbuffer_utils

        model = float_graph.read_model(content)
        graph = float_graph.main_graph(model)
        self.names = [decode(tensor.name) for tensor in graph.tensors]
        self.ops: list[dict[str, Any]] = []
        self.producers: dict[str, int] = {}
        self._consumers: dict[int, list[int]] = {}
        index = float_graph.main_graph_index(model)
        owners = layer_names.layers_of_operations(model, layers)[index]
        for number, (op, paths) in enumerate(zip(graph.operators, owners, strict=True)):
            kind = flatbuffer_utils.opcode_to_name(model, op.opcodeIndex)
            names = [layer_names.path_in_model(path) for path in paths]
            outputs = [int(i) for i in op.outputs if i >= 0]
            constants = (
                _constant(model, graph.tensors[i]) for i in op.inputs if i >= 0
            )
            self.ops.append(
                {
                    "op": str(kind),
                    "layers": names,
                    "outputs": outputs,
                    "layer": _main_layer(paths, names, layers),
                    "weights": next((x for x in constants if x is not None), None),
                }
            )
            self.producers |= {self.names[i]: number for i in outputs}
            for i in op.inputs:
                self._consumers.setdefault(int(i), []).append(number)

    def consumers(self, number: int) -> list[int]:
        """Returns the operations that compute from the output of `number`."""
        consumers, pending = [], [number]
        while pending:
            for output in self.ops[pending.pop()]["outputs"]:
                for consumer in self._consumers.get(output, ()):
                    if consumer not in consumers:
                        consumers.append(consumer)
                        if self.ops[consumer]["op"] in _DATA_MOVEMENT:
                            pending.append(consumer)
        return consumers

    def output_names(self, numbers: Iterable[int]) -> list[str]:
        """Returns the output tensors' names, by which the quantizer knows them."""
        return [
            self.names[i] for number in numbers for i in self.ops[number]["outputs"]
        ]

    def whole_layers(self, numbers: list[int]) -> list[int]:
        """Returns all operations of the layers of `numbers`: rules are by layer."""
        layers = set(self.layers_of(numbers))
        return [
            number
            for number, op in enumerate(self.ops)
            if number in numbers or layers & set(op["layers"])
        ]

    def layers_of(self, numbers: Iterable[int]) -> list[str]:
        """Returns the layers of the operations, each once, in their order."""
        names = [name for number in numbers for name in self.ops[number]["layers"]]
        return list(dict.fromkeys(names))


def _main_layer(paths, names, layers):
    """Of the layers of one operation, the first that is not fused into another."""
    pairs = zip(paths, names, strict=True)
    main = [name for path, name in pairs if layers[path] not in _FUSED_LAYERS]
    return (main or names or [""])[0]


def _constant(model, tensor):
    """Returns a float constant of two axes or more as an array, or None."""
    data = model.buffers[tensor.buffer].data
    is_matrix = tensor.shape is not None and len(tensor.shape) >= 2
    if tensor.type != 0 or data is None or not len(data) or not is_matrix:
        return None
    return np.frombuffer(bytes(data), "float32").reshape(tensor.shape)
