"""Operations of a graph of TensorFlow."""

from typing import Any


def operation_names(graph: Any) -> set[str]:
    """Returns the names of the operations of a graph and of the functions it holds.

    Calls of the graph's own functions, which have their names, are not among them.

    Args:
        graph: `tf.Graph`, such as that of a traced `tf.function`.
    """
    definition = graph.as_graph_def()
    functions = definition.library.function
    names = {node.op for node in definition.node}
    for function in functions:
        names |= {node.op for node in function.node_def}
    return names - {function.signature.name for function in functions}
