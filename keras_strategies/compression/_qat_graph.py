"""The calls of a model and of the models inside it, as one list."""

import dataclasses

import keras

from keras_strategies._internal import checks, keras_private


class Slot:
    """One tensor of the graph: who uses it."""

    def __init__(self, dtype="float32"):
        self.is_float = keras.backend.is_float_dtype(dtype)
        self.users = []
        self.is_output = False


@dataclasses.dataclass(eq=False)
class Call:
    """One call of a layer or an operation.

    Attributes:
        operation: Layer or operation.
        path: Names of the models it is in and its own, such as `"encoder/conv"`.
        args, kwargs: Arguments, with a `Slot` in place of each tensor.
        outputs: Flat list of slots.
    """

    operation: object
    path: str
    args: tuple
    kwargs: dict
    outputs: list

    @property
    def inputs(self):
        return slots((self.args, self.kwargs))


def slots(structure):
    """The slots in a structure, in order."""
    return [x for x in keras.tree.flatten(structure) if isinstance(x, Slot)]


@dataclasses.dataclass(eq=False)
class Graph:
    """The calls in an order in which they can be made."""

    inputs: list
    outputs: list
    calls: list


def opened(model):
    """Returns the `Graph` of a built Functional or Sequential model."""
    graph = Graph([Slot(tensor.dtype) for tensor in model.inputs], [], [])
    graph.outputs = _open(graph, model, graph.inputs, "", {})
    for slot in graph.outputs:
        slot.is_output = True
    for call in graph.calls:
        for slot in call.inputs:
            if call not in slot.users:
                slot.users.append(call)
    return graph


def has_graph(layer):
    """Whether `layer` is a model whose call is what its graph says."""
    if not isinstance(layer, keras.Model):
        return False
    if isinstance(layer, keras.Sequential):
        return type(layer).call is keras.Sequential.call
    if not isinstance(layer, keras.Function):
        return False
    return type(layer).call is _functional_class(type(layer)).call


def _functional_class(kind):
    return next(base for base in kind.__mro__ if keras.Function in base.__bases__)


def constructible(kind):
    """The class to make a new model by, or `None` where methods would be lost."""
    plain = _functional_class(kind)
    if kind.__init__ is plain.__init__:
        return kind
    kept = (
        "train_step",
        "test_step",
        "predict_step",
        "compute_loss",
        "compute_metrics",
    )
    lost = [name for name in kept if getattr(kind, name) is not getattr(plain, name)]
    return None if lost else keras.Model


def _open(graph, model, inputs, prefix, override):
    """Appends the calls of `model` on the slots `inputs`; returns its outputs."""
    tensors = {
        id(tensor): slot for tensor, slot in zip(model.inputs, inputs, strict=True)
    }

    def slot_of(value):
        if not isinstance(value, keras.KerasTensor):
            return value
        return tensors[id(value)]

    for operation, args, kwargs, outputs in keras_private.graph_nodes(model):
        needed = keras.tree.flatten((args, kwargs))
        needed = [x for x in needed if isinstance(x, keras.KerasTensor)]
        if any(id(tensor) not in tensors for tensor in needed):
            continue  # not on the way from these inputs
        args, kwargs = keras.tree.map_structure(slot_of, (args, kwargs))
        kwargs = {name: value for name, value in kwargs.items() if value is not None}
        path = f"{prefix}{operation.name}"
        if has_graph(operation):
            made = _open(
                graph,
                operation,
                _inner_inputs(operation, args, kwargs, path),
                f"{path}/",
                _training(kwargs, override),
            )
        else:
            if override and _takes_training(operation):
                kwargs = override | kwargs
            made = [Slot(tensor.dtype) for tensor in outputs]
            graph.calls.append(Call(operation, path, args, kwargs, made))
        tensors |= {id(t): slot for t, slot in zip(outputs, made, strict=True)}
    return [tensors[id(tensor)] for tensor in model.outputs]


def _training(kwargs, override):
    """A model called with `training=False` calls its layers so."""
    if kwargs.get("training") is None:
        return override
    return {"training": kwargs["training"]}


def _takes_training(operation):
    kinds = (keras.layers.BatchNormalization, keras.layers.Dropout)
    return isinstance(operation, kinds)


def _inner_inputs(model, args, kwargs, path):
    rest = {name for name in kwargs if name not in ("inputs", "training")}
    if rest or len([x for x in args if x is not None]) > 1:
        checks.fail(
            "A nested model must be called on its inputs alone",
            fix="Give what it needs as inputs of the nested model.",
            nested_model=path,
            arguments=sorted(rest),
        )
    given = args[0] if args else kwargs["inputs"]
    return slots(given)
