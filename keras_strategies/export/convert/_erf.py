"""A form of `erf` that LiteRT can run: its converter knows none.

The exact gelu of a Keras layer becomes LiteRT's own GELU operation, which needs
none of this; a bare `keras.ops.erf`, or a gelu written out by hand, does.
"""

import os
import pathlib

# Rational approximation 7.1.26 of Abramowitz and Stegun, Handbook of Mathematical
# Functions (1964): absolute error at most 1.5e-7.
_P = 0.3275911
_A = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
OPS = ("Erf", "Erfc")


def erf(x):
    """Returns erf(x) from `abs`, `sign`, `exp` and arithmetic, in `x.dtype`."""
    import tensorflow as tf

    size = tf.abs(x)
    t = 1.0 / (1.0 + _P * size)
    polynomial = tf.zeros_like(t)
    for coefficient in _A:
        polynomial = polynomial * t + coefficient
    return tf.sign(x) * (1.0 - polynomial * t * tf.exp(-size * size))


def erfc(x):
    """Returns 1 - erf(x)."""
    return 1.0 - erf(x)


def largest_difference():
    """Returns the largest difference from the exact function in float32."""
    import numpy as np
    import tensorflow as tf

    x = tf.constant(np.linspace(-6, 6, 120_001), "float32")
    exact = tf.math.erf(tf.cast(x, "float64"))
    return float(tf.reduce_max(tf.abs(tf.cast(erf(x), "float64") - exact)))


def replace(saved_model):
    """Replaces `Erf` and `Erfc` in a SavedModel by calls of the form above.

    Returns how many were replaced. The file is written aside and renamed.
    """
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2

    path = pathlib.Path(saved_model) / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    count = 0
    for graph in (meta.graph_def for meta in saved.meta_graphs):
        bodies = [graph.node, *(f.node_def for f in graph.library.function)]
        nodes = [node for body in bodies for node in body if _ours(node)]
        used = {(node.op, node.attr["T"].type) for node in nodes}
        names = {}
        for op, kind in sorted(used):
            function = erf if op == "Erf" else erfc
            concrete = tf.function(function, autograph=False).get_concrete_function(
                tf.TensorSpec(None, tf.as_dtype(kind))
            )
            definition = concrete.function_def
            names[op, kind] = definition.signature.name
            graph.library.function.append(definition)
        for function in graph.library.function:
            _rename(function, {node.name for node in function.node_def if _ours(node)})
        for node in nodes:
            _call(node, names[node.op, node.attr["T"].type])
        count += len(nodes)
    aside = path.with_suffix(".tmp")
    aside.write_bytes(saved.SerializeToString())
    os.replace(aside, path)
    return {"replaced": count, "difference": largest_difference()}


def _ours(node):
    return node.op in OPS


def _rename(function, changed):
    """Names the outputs of the `changed` nodes as those of a call are named."""

    def new(edge):
        name, _, rest = edge.partition(":")
        return f"{name}:output:0" if rest == "y:0" and name in changed else edge

    for node in function.node_def:
        node.input[:] = [new(edge) for edge in node.input]
    for key in function.ret:
        function.ret[key] = new(function.ret[key])


def _call(node, function):
    """Turns a one-input operation into a call of `function`."""
    kind = node.attr["T"].type
    node.op = "PartitionedCall"
    del node.attr["T"]
    node.attr["Tin"].list.type.append(kind)
    node.attr["Tout"].list.type.append(kind)
    node.attr["f"].func.name = function
