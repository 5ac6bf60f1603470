"""Approximation of `erf` by operations that LiteRT has (worker side).

The exact gelu of a Keras layer becomes LiteRT's own GELU operation and needs no
approximation; a bare `keras.ops.erf`, or a gelu written out by hand, does.
"""

import os
import pathlib
from typing import Any

# Rational approximation 7.1.26 of Abramowitz and Stegun, Handbook of Mathematical
# Functions (1964): erf(x) = 1 - (a1 t + ... + a5 t^5) exp(-x^2), t = 1 / (1 + p x),
# for x >= 0, with an absolute error of at most 1.5e-7. Coefficients from a5 to a1.
_P = 0.3275911
_A = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
OPS = ("Erf", "Erfc")


def erf(x: Any) -> Any:
    """Returns erf(x) from `abs`, `sign`, `exp` and arithmetic, in `x.dtype`."""
    import tensorflow as tf

    magnitude = tf.abs(x)
    t = 1.0 / (1.0 + _P * magnitude)
    polynomial = tf.zeros_like(t)
    for coefficient in _A:
        polynomial = polynomial * t + coefficient
    return tf.sign(x) * (1.0 - polynomial * t * tf.exp(-magnitude * magnitude))


def erfc(x: Any) -> Any:
    """Returns 1 - erf(x)."""
    return 1.0 - erf(x)


def largest_difference() -> float:
    """Returns the largest difference from the exact function in float32."""
    import numpy as np
    import tensorflow as tf

    x = tf.constant(np.linspace(-6, 6, 120_001), "float32")
    exact = tf.math.erf(tf.cast(x, "float64"))
    return float(tf.reduce_max(tf.abs(tf.cast(erf(x), "float64") - exact)))


def replace(saved_model: str | os.PathLike[str]) -> dict[str, Any]:
    """Replaces `Erf` and `Erfc` in a SavedModel by calls of the functions above.

    Returns how many were replaced. The file is written aside and renamed.
    """
    from tensorflow.core.protobuf import saved_model_pb2

    path = pathlib.Path(saved_model) / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    count = sum(_replace_in_graph(meta.graph_def) for meta in saved.meta_graphs)
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(saved.SerializeToString())
    os.replace(temporary, path)
    return {"replaced": count, "difference": largest_difference()}


def _replace_in_graph(graph):
    """Replaces the operations of one graph and its functions; returns how many."""
    bodies = [graph.node, *(f.node_def for f in graph.library.function)]
    nodes = [node for body in bodies for node in body if node.op in OPS]
    # One function for each operation and type, as a function has fixed types.
    names = {
        key: _add_function(graph.library, *key)
        for key in sorted({(node.op, node.attr["T"].type) for node in nodes})
    }
    for function in graph.library.function:
        replaced = {node.name for node in function.node_def if node.op in OPS}
        _rename_outputs(function, replaced)
    for node in nodes:
        _turn_into_call(node, names[node.op, node.attr["T"].type])
    return len(nodes)


def _add_function(library, op, dtype):
    import tensorflow as tf

    function = tf.function(erf if op == "Erf" else erfc, autograph=False)
    concrete = function.get_concrete_function(tf.TensorSpec(None, tf.as_dtype(dtype)))
    definition = concrete.function_def
    library.function.append(definition)
    return definition.signature.name


def _rename_outputs(function, replaced):
    """Renames edges from the `replaced` nodes: a call has "output", not "y"."""

    def new_name(edge):
        name, _, output = edge.partition(":")
        is_replaced = output == "y:0" and name in replaced
        return f"{name}:output:0" if is_replaced else edge

    for node in function.node_def:
        node.input[:] = [new_name(edge) for edge in node.input]
    for key in function.ret:
        function.ret[key] = new_name(function.ret[key])


def _turn_into_call(node, function):
    """Turns a one-input operation into a call of `function`."""
    dtype = node.attr["T"].type
    node.op = "PartitionedCall"
    del node.attr["T"]
    node.attr["Tin"].list.type.append(dtype)
    node.attr["Tout"].list.type.append(dtype)
    node.attr["f"].func.name = function
