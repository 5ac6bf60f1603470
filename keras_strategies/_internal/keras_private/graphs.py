"""Models: their layers, their graph and the arguments of a call."""

import keras
from keras.src.export import export_utils
from keras.src.utils import naming


def flatten_layers(model):
    """Every layer below `model` once, containers and wrapped layers included.

    `model.layers` stops at nested models and does not see layers kept as
    attributes of a subclassed layer or inside wrappers. Keras 3.12 to 3.15.
    """
    return model._flatten_layers(include_self=False, recursive=True)


def direct_layers(layer):
    """The layers right below `layer`: of a model, in a wrapper, kept as attributes.

    Only models list theirs publicly. The graph inside a Sequential counts as the
    Sequential itself. Keras 3.12 to 3.15.
    """
    found = []
    for inner in layer._flatten_layers(include_self=False, recursive=False):
        if inner is getattr(layer, "_functional", None):
            continue
        found.append(inner)
    return found


def default_name(layer):
    """How Keras names a layer of this class that was given no name, but for a number.

    `keras.src.utils.naming` is not exported. Keras 3.12 to 3.15.
    """
    return naming.to_snake_case(type(layer).__name__)


def has_input_structure(model: keras.Model) -> bool:
    """Whether a model is Functional or Sequential, so that Keras knows all its inputs.

    A subclass of `Model` that was built of inputs and outputs counts too; public Keras
    does not tell. Keras 3.12 to 3.15.
    """
    return isinstance(model, keras.Sequential) or hasattr(model, "_inputs_struct")


def input_signature(model):
    """The arguments of a call of `model` as a list of structures of `InputSpec`.

    What `model.export` traces, for Functional, Sequential and subclassed models
    alike; public Keras has it only inside an export. A subclassed model that was
    loaded from a file is accepted too: its shapes are known although it was never
    called. Keras 3.12 to 3.15.
    """
    if has_input_structure(model):
        return export_utils.get_input_signature(model)
    signature = export_utils._infer_input_signature_from_model(model)
    if not signature:
        raise ValueError(
            f"`model` must have been called once. Received: model={model.name!r}. "
            "Call it on an input, so that its input shapes are known."
        )
    return signature


def operations(model):
    """The layers and operations in the graph of a Functional or Sequential model.

    The graph of a Sequential is behind a private name. Keras 3.12 to 3.15.
    """
    graph = getattr(model, "_functional", None) or model
    return list(getattr(graph, "operations", ()))


def graph_nodes(model):
    """`[(operation, args, kwargs, outputs)]`: each call in a model's graph, in order.

    `args` and `kwargs` hold the KerasTensors of the calls, `outputs` is their flat
    list. `None` for a model without a graph. `clone_model` visits the same calls, but
    tells nothing of who uses an output. Keras 3.12 to 3.15.
    """
    graph = getattr(model, "_functional", None) or model
    if not hasattr(graph, "_nodes_by_depth"):
        return None
    return [
        (node.operation, node.arguments.args, node.arguments.kwargs, node.outputs)
        for depth in sorted(graph._nodes_by_depth, reverse=True)
        for node in graph._nodes_by_depth[depth]
        if not node.is_input
    ]


def output_structure(model):
    """The KerasTensors that a Functional or Sequential model ends in, as it was made.

    The public `outputs` is a flat list; `output` is that of the only call. Keras 3.12
    to 3.15.
    """
    return (getattr(model, "_functional", None) or model)._outputs_struct


def output_operations(model):
    """The layer or operation that makes each output of a model; `None` without a graph.

    A flat list. Operations know their tensors publicly only if they were called once,
    tensors their operation only privately. Keras 3.12 to 3.15.
    """
    nodes = graph_nodes(model)
    if nodes is None:
        return None
    makers = {id(tensor): node[0] for node in nodes for tensor in node[3]}
    return [makers.get(id(t)) for t in keras.tree.flatten(output_structure(model))]


def carries_mask(tensor):
    """Whether a tensor, also a symbolic one, has a mask for the layers behind it.

    Kept as a private attribute of the tensor. Keras 3.12 to 3.15.
    """
    return getattr(tensor, "_keras_mask", None) is not None
