"""The calls of a model as a graph, nested models opened or kept whole."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from keras_strategies._internal import keras_private
from keras_strategies._internal.model_graph.predicates import check_readable, is_open
from keras_strategies._internal.select import Target

# What a model called with `training=False` hands on to the layers in it.
_FOLLOWS_TRAINING = (keras.layers.BatchNormalization, keras.layers.Dropout)


class Tensor:
    """A tensor of the graph.

    Attributes:
        shape: Its shape, with `None` for free axes.
        dtype: Name of its dtype.
        producer: The call that makes it; `None` for inputs of the model.
        consumers: The calls that take it, each once, in order.
        is_output: Whether it is an output of the model.
    """

    def __init__(
        self, shape: tuple[int | None, ...] = (), dtype: str = "float32"
    ) -> None:
        self.shape = tuple(shape)
        self.dtype = keras.backend.standardize_dtype(dtype)
        self.producer: Call | None = None
        self.consumers: list[Call] = []
        self.is_output = False

    @property
    def is_float(self) -> bool:
        """Whether it holds floating-point numbers."""
        return keras.backend.is_float_dtype(self.dtype)


@dataclasses.dataclass(eq=False)
class Call:
    """A call of a layer or an operation.

    Attributes:
        operation: The layer or operation.
        path: Names of the models around it and its own, such as `"encoder/conv"`.
        args: Positional arguments, with a `Tensor` in place of each tensor.
        kwargs: Keyword arguments likewise, without those that are `None`.
        outputs: Flat list of the tensors it makes.
        results: `None`, but for the entry of an opened model, which stands before the
            calls inside and passes its inputs on as its outputs: what the model
            returns.
    """

    operation: Any
    path: str
    args: tuple
    kwargs: dict[str, Any]
    outputs: list[Tensor]
    results: list[Tensor] | None = None

    @property
    def is_entry(self) -> bool:
        """Whether this only marks where the calls inside a nested model begin."""
        return self.results is not None

    @property
    def inputs(self) -> list[Tensor]:
        """The tensors among the arguments, in order."""
        return tensors((self.args, self.kwargs))


@dataclasses.dataclass(eq=False)
class Graph:
    """The calls of a model in an order in which they can run."""

    inputs: list[Tensor]
    outputs: list[Tensor]
    calls: list[Call]


def tensors(structure: Any) -> list[Tensor]:
    """The tensors in a structure, in order."""
    return [x for x in keras.tree.flatten(structure) if isinstance(x, Tensor)]


def substitute(structure: Any, values: dict[Tensor, Any]) -> Any:
    """The structure with a value in place of each tensor."""
    return keras.tree.map_structure(
        lambda x: values[x] if isinstance(x, Tensor) else x, structure
    )


def read(model: keras.Model, open_nested: bool = True) -> Graph:
    """Reads the graph of a model.

    Args:
        model: A built Functional or Sequential model.
        open_nested: Whether the calls of models inside it are listed in place of
            them. A nested model that is opaque, or is called on more than its
            inputs, is one call in either case.

    Raises:
        ValueError: If the model has no graph that says what it computes.
    """
    check_readable(model)
    graph = Graph([Tensor(t.shape, t.dtype) for t in model.inputs], [], [])
    reader = _Reader(graph, open_nested)
    graph.outputs = reader.read(model, graph.inputs, "", {})
    for tensor in graph.outputs:
        tensor.is_output = True
    connect(graph)
    return graph


def connect(graph: Graph) -> None:
    """Notes at each tensor who makes and who takes it; entries do neither."""
    calls = [call for call in graph.calls if not call.is_entry]
    for call in calls:
        for tensor in [*call.inputs, *call.outputs]:
            tensor.consumers = []
    for call in calls:
        for tensor in call.inputs:
            if call not in tensor.consumers:
                tensor.consumers.append(call)
        for tensor in call.outputs:
            tensor.producer = call


class _Reader:
    """Appends the calls of a model, and of the models inside it, to a graph."""

    def __init__(self, graph, open_nested):
        self.graph, self.open_nested = graph, open_nested

    def read(self, model, inputs, prefix, override):
        """Appends the calls of `model` on the tensors `inputs`; returns its outputs."""
        # By identity: shared layers and nested models make tensors of equal names and
        # shapes.
        known = {id(t): i for t, i in zip(model.inputs, inputs, strict=True)}
        # A nested model may be called on other shapes than it was built for.
        pairs = zip(model.inputs, inputs, strict=True)
        resized = any(tuple(old.shape) != new.shape for old, new in pairs)
        for operation, args, kwargs, outputs in keras_private.graph_nodes(model):
            needed = keras_tensors((args, kwargs))
            if any(id(tensor) not in known for tensor in needed):
                continue  # it does not depend on these inputs
            args, kwargs = replace_keras_tensors((args, kwargs), known)
            kwargs = {key: value for key, value in kwargs.items() if value is not None}
            path = f"{prefix}{operation.name}"
            makes = self._call(
                operation, path, args, kwargs, outputs, override, resized
            )
            known |= {id(t): made for t, made in zip(outputs, makes, strict=True)}
        return [known[id(tensor)] for tensor in model.outputs]

    def _call(self, operation, path, args, kwargs, outputs, override, resized):
        feeds = None
        if self.open_nested and is_open(operation):
            feeds = feeds_of(operation, args, kwargs)
        if feeds is not None:
            entry = Call(operation, path, args, kwargs, feeds, results=[])
            self.graph.calls.append(entry)
            # `training=False` of a nested model reaches the layers inside by way of its
            # call, which an opened model has no more: it is noted at each of them.
            if kwargs.get("training") is not None:
                override = {"training": kwargs["training"]}
            entry.results += self.read(operation, feeds, f"{path}/", override)
            return entry.results
        if override and isinstance(operation, _FOLLOWS_TRAINING):
            kwargs = override | kwargs
        # The shapes in Keras's nodes are those of the first call of the nested model.
        if resized:
            outputs = _output_specs(operation, args, kwargs)
        makes = [Tensor(tensor.shape, tensor.dtype) for tensor in outputs]
        self.graph.calls.append(Call(operation, path, args, kwargs, makes))
        return makes


def keras_tensors(structure: Any) -> list[keras.KerasTensor]:
    """The symbolic tensors in a structure, in order."""
    return [
        x for x in keras.tree.flatten(structure) if isinstance(x, keras.KerasTensor)
    ]


def replace_keras_tensors(structure: Any, values: Mapping[int, Any]) -> Any:
    """The structure with a value in place of each symbolic tensor, by its `id`."""
    return keras.tree.map_structure(
        lambda x: values[id(x)] if isinstance(x, keras.KerasTensor) else x, structure
    )


def _output_specs(operation, args, kwargs):
    args, kwargs = keras.tree.map_structure(
        lambda x: keras.KerasTensor(x.shape, x.dtype) if isinstance(x, Tensor) else x,
        (args, kwargs),
    )
    return keras.tree.flatten(operation.compute_output_spec(*args, **kwargs))


def feeds_of(model: keras.Model, args: tuple, kwargs: dict) -> list[Tensor] | None:
    """The tensors a nested model is called on, in the order of its inputs.

    `None` where that is unclear: it is called on more than its inputs (a mask), or on
    a dict while it was built on none, which Keras matches by the names of the inputs.
    """
    rest = [args[1:], *(kwargs[k] for k in kwargs if k not in ("inputs", "training"))]
    if any(leaf is not None for leaf in keras.tree.flatten(rest)):
        return None
    value = args[0] if args else kwargs["inputs"]
    if isinstance(value, dict):
        built_on = model.input
        if not isinstance(built_on, dict) or sorted(built_on) != sorted(value):
            return None
    feeds = tensors(value)
    return feeds if len(feeds) == len(model.inputs) else None


def call_targets(graph: Graph) -> dict[Call, Target]:
    """Every call as what `include=` and `exclude=` select, entries left out."""
    entries = [call for call in graph.calls if call.is_entry]
    targets = {}
    for call in graph.calls:
        if not call.is_entry:
            around = tuple(
                (entry.path, entry.operation)
                for entry in entries
                if call.path.startswith(f"{entry.path}/")
            )
            targets[call] = Target(call.path, call.operation, call.operation, around)
    return targets


def walk(model: keras.Model) -> Iterator[tuple[keras.Model, Graph]]:
    """Yields each model with a graph, `model` first, and its calls, none opened."""
    seen: set[int] = set()
    waiting = [model]
    while waiting:
        part = waiting.pop(0)
        if id(part) in seen or not is_open(part):
            continue
        seen.add(id(part))
        graph = read(part, open_nested=False)
        yield part, graph
        waiting.extend(call.operation for call in graph.calls)
