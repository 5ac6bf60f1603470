"""Main graph of a float `.tflite` file as the schema's objects."""

from collections.abc import Iterator
from typing import Any

_FLOAT32 = 0  # TensorType in the schema


def read_model(content: bytes) -> Any:
    """Returns the file as a tree of the schema's objects."""
    from ai_edge_litert.tools import flatbuffer_utils

    return flatbuffer_utils.read_model_from_bytearray(bytearray(content))


def main_graph_index(model: Any) -> int:
    """Index of the graph of the first signature; the others are bodies of loops."""
    definitions = model.signatureDefs or ()
    return definitions[0].subgraphIndex if len(definitions) else 0


def main_graph(model: Any) -> Any:
    """Returns the graph of the first signature."""
    return model.subgraphs[main_graph_index(model)]


def float_activations(model: Any) -> Iterator[tuple[int, Any]]:
    """Yields index and tensor of every named float32 tensor that is no constant."""
    for index, tensor in enumerate(main_graph(model).tensors):
        data = model.buffers[tensor.buffer].data
        is_constant = data is not None and len(data)
        if tensor.type == _FLOAT32 and tensor.name and not is_constant:
            yield index, tensor
