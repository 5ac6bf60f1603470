"""Replacement of operations in a SavedModel by calls of functions."""

import os
import pathlib
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from keras_strategies._internal.storage import files
from keras_strategies.export.convert._substitutes.substitutes import (
    SUBSTITUTES,
    Node,
    NotReplaceable,
    Substitute,
)

# Size that a free axis has in a check.
_FREE_SIZE = 3


class InaccurateSubstitute(RuntimeError):
    """A substitute that differs from its operation, which must not be used."""


# Operations whose result on constants is one, as TensorFlow writes shapes.
_OF_CONSTANTS = ("ExpandDims", "Pack", "Reshape", "StridedSlice")


def replace(
    saved_model: str | os.PathLike[str], ops: Collection[str]
) -> dict[str, Any]:
    """Replaces the operations `ops` of a SavedModel, where they have a substitute.

    Returns `{"replaced": {op: count}, "differences": {op: largest difference},
    "left": {op: reason}}`. The file is written aside and renamed.
    """
    from tensorflow.core.protobuf import saved_model_pb2

    path = pathlib.Path(saved_model) / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    replacement = _Replacement({op for op in ops if op in SUBSTITUTES})
    for meta in saved.meta_graphs:
        replacement.change_graph(meta.graph_def)
    if replacement.counts:
        files.replace(path, saved.SerializeToString())
    return {
        "replaced": replacement.counts,
        "differences": replacement.differences,
        "left": replacement.left,
    }


def drop_initializers(saved_model: str | os.PathLike[str]) -> None:
    """Removes what a SavedModel does when it is loaded: the filling of hash tables.

    Of tables that nothing looks into any more; variables are restored otherwise.
    """
    from tensorflow.core.protobuf import saved_model_pb2

    path = pathlib.Path(saved_model) / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    for meta in saved.meta_graphs:
        meta.signature_def.pop("__saved_model_init_op", None)
        meta.collection_def.pop("saved_model_main_op", None)
    path.write_bytes(saved.SerializeToString())


class _Replacement:
    """The functions that were added, and what they stand for."""

    def __init__(self, ops):
        self.ops = ops
        self.counts: dict[str, int] = {}
        self.differences: dict[str, float] = {}
        self.left: dict[str, str] = {}
        self.functions: dict[Any, str] = {}

    def change_graph(self, graph):
        # New functions are added to the library while its own are changed.
        functions = list(graph.library.function)
        for nodes, function in [
            (graph.node, None),
            *((f.node_def, f) for f in functions),
        ]:
            replaced = self._change_body(nodes, function, graph.library)
            if function is not None:
                _rename_outputs(function, replaced)

    def _change_body(self, nodes, function, library):
        by_name = {node.name: node for node in nodes}
        arguments = _argument_shapes(function)
        replaced = set()
        for node in nodes:
            if node.op not in self.ops:
                continue
            described = _describe(node, by_name, arguments)
            try:
                name = self._function(node, described, library)
            except NotReplaceable as reason:
                self.left[node.op] = str(reason)
                continue
            self.counts[node.op] = self.counts.get(node.op, 0) + 1
            replaced.add(node.name)
            _turn_into_call(node, name, described.dtypes, _output_dtype(node))
        return replaced

    def _function(self, node, described, library):
        """Returns the name of the function that stands for a node, added if new."""
        import tensorflow as tf

        substitute = SUBSTITUTES[node.op]
        is_elementwise = substitute.is_elementwise
        # One function a kind of call, not one a call: a network has hundreds of the
        # same.
        particulars = None if is_elementwise else _particulars(described)
        key = (node.op, tuple(described.dtypes), particulars)
        if key in self.functions:
            return self.functions[key]
        made = substitute.make(described)
        self._check(node, described, substitute, made)
        specs = [
            tf.TensorSpec(None if is_elementwise else shape, dtype)
            for shape, dtype in zip(described.shapes, described.dtypes, strict=True)
        ]
        traced = tf.function(made, autograph=False).get_concrete_function(*specs)
        definition = traced.function_def
        library.function.append(definition)
        self.functions[key] = definition.signature.name
        return definition.signature.name

    def _check(self, node, described, substitute, made):
        """Compares a substitute with its operation."""
        difference = largest_difference(node.op, described, substitute, made)
        known = self.differences.get(node.op, 0.0)
        self.differences[node.op] = max(known, difference)
        if not difference <= substitute.tolerance:
            raise InaccurateSubstitute(
                f"The substitute of {node.op} differs by {difference:.2g} of its range."
            )


def _particulars(described):
    """What a function may depend on beside the dtypes; kernels are its inputs."""
    small = [
        None if constant is None or constant.size > 16 else constant.tolist()
        for constant in described.constants
    ]
    return repr((dict(sorted(described.attributes.items())), small, described.shapes))


def largest_difference(
    op: str, node: Node, substitute: Substitute, function: Any
) -> float:
    """Returns the largest difference from the operation, by its largest value."""
    import tensorflow as tf

    rng = np.random.default_rng(0)
    inputs = []
    for constant, shape, dtype in zip(
        node.constants, node.shapes, node.dtypes, strict=True
    ):
        if constant is not None:
            inputs.append(tf.constant(constant, dtype))
            continue
        sizes = [2000] if shape is None else [size or _FREE_SIZE for size in shape]
        values = rng.uniform(substitute.low, substitute.high, sizes)
        if op == "Conv2DBackpropInput" and dtype == "int32":
            values = _transposed_size(node)
        elif op == "ScaleAndTranslate" and sizes == [2]:
            values = np.asarray(node.constants[1]) / node.shapes[0][1:3]
        inputs.append(tf.cast(values, dtype))
    names = [argument.name for argument in _definition(op).input_arg]
    exact = getattr(tf.raw_ops, op)
    # An einsum has a list of operands as its one argument.
    feed = dict(zip(names, [inputs] if op == "Einsum" else inputs, strict=True))
    expected = exact(**feed, **node.attributes).numpy()
    actual = function(*inputs).numpy()
    if expected.shape != actual.shape or expected.dtype != actual.dtype:
        return float("inf")
    error = np.abs(expected.astype("float64") - actual)
    scale = max(float(np.abs(expected.astype("float64")).max(initial=0.0)), 1.0)
    return float(error.max(initial=0.0)) / scale


def _transposed_size(node):
    """Sizes of the input that a transposed convolution of this output belongs to."""
    kernel, shape = node.shapes[1], [x or _FREE_SIZE for x in node.shapes[2]]
    sizes = []
    for axis in (1, 2):
        size, stride = shape[axis], node.attributes["strides"][axis]
        reach = (kernel[axis - 1] - 1) * node.attributes["dilations"][axis]
        is_same = node.attributes["padding"] == b"SAME"
        sizes.append(size * stride if is_same else (size - 1) * stride + reach + 1)
    return [shape[0], *sizes, kernel[2]]


def _definition(op):
    from tensorflow.python.framework import op_def_registry

    return op_def_registry.get(op)


def _describe(node, by_name, arguments):
    """Returns the `Node` of a node: its attributes, constants and shapes."""

    inputs = [edge for edge in node.input if not edge.startswith("^")]
    sources = [by_name.get(edge.split(":")[0]) for edge in inputs]
    constants = [_constant(source, by_name) for source in sources]
    shapes = []
    for edge, source, constant in zip(inputs, sources, constants, strict=True):
        if constant is not None:
            shapes.append(list(constant.shape))
        elif source is None:
            shapes.append(arguments.get(edge.split(":")[0]))
        else:
            index = int(edge.rpartition(":")[2]) if edge.count(":") else 0
            shapes.append(_shape(source.attr.get("_output_shapes"), index))
    if node.op == "Einsum":  # its equation tells the number of axes
        terms = _attribute(node, "equation").s.decode().partition("->")[0]
        shapes = [
            [None] * len(term) if shape is None and "." not in term else shape
            for shape, term in zip(shapes, terms.split(","), strict=True)
        ]
    return Node(
        attributes=_attributes(node),
        constants=constants,
        shapes=shapes,
        dtypes=_input_dtypes(node),
    )


def _constant(node, by_name):
    """The value of a node that makes a constant, or a part or shape of one, or None."""
    import tensorflow as tf

    if node is None:
        return None
    node = _root(node, by_name)
    if node.op == "Const":
        return tf.make_ndarray(node.attr["value"].tensor)
    if node.op not in _OF_CONSTANTS:
        return None
    edges = [edge for edge in node.input if not edge.startswith("^")]
    values = [_constant(by_name.get(edge.split(":")[0]), by_name) for edge in edges]
    if any(value is None for value in values):
        return None
    if node.op == "Pack":
        return np.stack(values, _attribute(node, "axis").i)
    names = [argument.name for argument in _definition(node.op).input_arg]
    feed = dict(zip(names, values, strict=True))
    return getattr(tf.raw_ops, node.op)(**feed, **_attributes(node)).numpy()


def _root(node, by_name):
    """Follows an Identity to the node that makes the value."""
    while node.op == "Identity":
        source = by_name.get(node.input[0].split(":")[0])
        if source is None:
            return node
        node = source
    return node


def _shape(attribute, index):
    if attribute is None or index >= len(attribute.list.shape):
        return None
    shape = attribute.list.shape[index]
    if shape.unknown_rank:
        return None
    return [dim.size if dim.size >= 0 else None for dim in shape.dim]


def _argument_shapes(function):
    """Shapes of the arguments of a function, where they are known."""
    if function is None:
        return {}
    return {
        argument.name: _shape(function.arg_attr[index].attr.get("_output_shapes"), 0)
        for index, argument in enumerate(function.signature.input_arg)
        if index in function.arg_attr
    }


def _attributes(node):
    """Attributes of an operation as `tf.raw_ops` takes them."""
    definition = _definition(node.op)
    inferred = {arg.type_attr for arg in definition.input_arg}
    inferred |= {arg.number_attr for arg in definition.input_arg}
    return {
        attr.name: _plain(_attribute(node, attr.name))
        for attr in definition.attr
        if attr.name not in inferred
    }


def _attribute(node, name):
    """An attribute of a node; a SavedModel leaves those out that are the default."""
    if name in node.attr:
        return node.attr[name]
    [attr] = [attr for attr in _definition(node.op).attr if attr.name == name]
    return attr.default_value


def _plain(value):
    kind = value.WhichOneof("value")
    if kind == "list":
        for entries in (value.list.i, value.list.f, value.list.s):
            if entries:
                return list(entries)
        return []
    return getattr(value, kind)


def _input_dtypes(node):
    import tensorflow as tf

    dtypes = []
    for argument in _definition(node.op).input_arg:
        number = 1
        if argument.number_attr:
            number = _attribute(node, argument.number_attr).i
        kind = argument.type or _attribute(node, argument.type_attr).type
        dtypes += [tf.as_dtype(kind).name] * number
    return dtypes


def _output_dtype(node):
    [argument] = _definition(node.op).output_arg
    return argument.type or _attribute(node, argument.type_attr).type


def _rename_outputs(function, replaced):
    """Renames edges from the `replaced` nodes: a call has "output", not "y"."""

    def new_name(edge):
        name, _, output = edge.partition(":")
        return f"{name}:output:0" if output and name in replaced else edge

    for node in function.node_def:
        node.input[:] = [new_name(edge) for edge in node.input]
    for key in function.ret:
        function.ret[key] = new_name(function.ret[key])


def _turn_into_call(node, function, dtypes: Any, output: Mapping[str, Any]) -> None:
    """Turns an operation into a call of `function`."""
    import tensorflow as tf

    node.op = "PartitionedCall"
    node.attr.clear()
    node.attr["Tin"].list.type.extend(tf.as_dtype(d).as_datatype_enum for d in dtypes)
    node.attr["Tout"].list.type.append(output)
    node.attr["f"].func.name = function
