"""Which Keras layer an operation of a `.tflite` file comes from."""

# What the converter calls the outputs of a signature.
_OUTPUTS = ("StatefulPartitionedCall", "PartitionedCall")


def layer_of(name, layers):
    """Returns the path in `layers` that one tensor name starts with, or None.

    Args:
        name: Name without semicolons, such as `"model/conv2d/Relu"`.
        layers: `{path: class name}` as `_trace.write_saved_model` returns it; the
            longest path wins, so that nested layers beat their containers.
    """
    parts = name.split("/")
    for size in range(len(parts), 0, -1):
        path = "/".join(parts[:size])
        if path in layers:
            return path
    return None


def owners(model, layers):
    """Returns, for each subgraph, the list of layer paths of each operation.

    An operation that the converter fused has several layers, that of its weights
    first. What has no name of its own, such as the output's softmax, belongs to the
    layer of its first named input. A nested layer beats the model around it, so
    the model itself owns only what no layer of it does.

    Args:
        model: The flatbuffer as an object (`flatbuffer_utils.read_model...`).
        layers: `{path: class name}`.
    """
    return [_graph_owners(graph, layers) for graph in model.subgraphs]


def _graph_owners(graph, layers):
    made, found = {}, []
    for op in graph.operators or ():
        constants = [i for i in op.inputs if i >= 0 and i not in made]
        names = [_name(graph.tensors[i]) for i in constants if _is_weight(graph, i)]
        names += [_name(graph.tensors[i]) for i in op.outputs if i >= 0]
        paths = []
        for name in names:
            for part in name.split(";"):
                path = None if part.startswith(_OUTPUTS) else layer_of(part, layers)
                if path is not None and path not in paths:
                    paths.append(path)
        # Containers only where nothing inside them was found.
        inner = [p for p in paths if not any(q.startswith(p + "/") for q in paths)]
        inner = [p for p in inner if not _outermost(p, layers)] or inner
        if not inner or all(_outermost(p, layers) for p in inner):
            before = [made[i] for i in op.inputs if made.get(i)]
            inner = before[0] if before else inner
        found.append(inner)
        made |= dict.fromkeys(map(int, op.outputs), inner)
    return found


def _outermost(path, layers):
    return "/" not in path and any(other.startswith(path + "/") for other in layers)


def _is_weight(graph, index):
    shape = graph.tensors[index].shape
    return shape is not None and len(shape) >= 1


def _name(tensor):
    name = tensor.name
    return name.decode() if isinstance(name, bytes) else (name or "")
