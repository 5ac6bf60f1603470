"""Keras layers that the operations of a `.tflite` file come from."""

from collections.abc import Mapping
from typing import Any

from keras_strategies.export.artifact._flatbuffer import decode

# Names that the converter gives to the outputs of a signature.
_OUTPUT_NAMES = ("StatefulPartitionedCall", "PartitionedCall")


def layer_of(tensor_name: str, layers: Mapping[str, str]) -> str | None:
    """Returns the path in `layers` that one tensor name starts with, or None.

    Args:
        tensor_name: Name without semicolons, such as `"model/conv2d/Relu"`.
        layers: `{path: class name}` as `write_saved_model` returns it; the longest
            path wins, so that nested layers are preferred to their containers.
    """
    parts = tensor_name.split("/")
    for size in range(len(parts), 0, -1):
        path = "/".join(parts[:size])
        if path in layers:
            return path
    return None


def path_in_model(path: str) -> str:
    """Returns a layer's path without the name of the model around it."""
    return path.partition("/")[2] or path


def layers_of_operations(model: Any, layers: Mapping[str, str]) -> list[list[Any]]:
    """Returns, for each subgraph, the list of layer paths of each operation.

    The converter names a tensor after the operations of the trace that it computes,
    joined by semicolons when several were fused, and a trace names an operation
    after the scope of its layer. An operation that was fused has several layers,
    that of its weights first. An operation without a name of its own, such as the
    output's softmax, belongs to the layer of its first named input. A nested layer is
    preferred to the model around it, so the model itself owns only the operations
    that no layer of it does.

    Args:
        model: The flatbuffer as an object (`flatbuffer_utils.read_model...`).
        layers: `{path: class name}`.
    """
    return [_layers_in_graph(graph, layers) for graph in model.subgraphs]


def _layers_in_graph(graph, layers):
    producers, owners = {}, []  # tensor index -> layers of the operation that made it
    for op in graph.operators or ():
        constants = [i for i in op.inputs if i >= 0 and i not in producers]
        names = [
            decode(graph.tensors[i].name) for i in constants if _is_weight(graph, i)
        ]
        names += [decode(graph.tensors[i].name) for i in op.outputs if i >= 0]
        paths = []
        for name in names:
            for part in name.split(";"):
                is_output = part.startswith(_OUTPUT_NAMES)
                path = None if is_output else layer_of(part, layers)
                if path is not None and path not in paths:
                    paths.append(path)
        # Containers only where none of their layers is named.
        inner = [p for p in paths if not any(q.startswith(p + "/") for q in paths)]
        inner = [p for p in inner if not _is_outermost(p, layers)] or inner
        if not inner or all(_is_outermost(p, layers) for p in inner):
            before = [producers[i] for i in op.inputs if producers.get(i)]
            inner = before[0] if before else inner
        owners.append(inner)
        producers |= dict.fromkeys(map(int, op.outputs), inner)
    return owners


def _is_outermost(path, layers):
    return "/" not in path and any(other.startswith(path + "/") for other in layers)


def _is_weight(graph, index):
    shape = graph.tensors[index].shape
    return shape is not None and len(shape) >= 1
