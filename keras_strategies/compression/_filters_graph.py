"""The calls of a Functional or Sequential model, nested models opened, in order."""

from dataclasses import dataclass, field

import keras

from keras_strategies._internal import checks
from keras_strategies.compression import _prunable


@dataclass
class Call:
    """One call of a layer, an operation, or (`entry`) of a nested model.

    `inputs` and `outputs` are numbers of tensors; `arguments` is what Keras saved
    of the call. The entry of a nested model stands before the calls inside it and
    passes its inputs on.
    """

    layer: object
    path: str
    inputs: list
    outputs: list
    arguments: dict = field(default_factory=dict)
    entry: bool = False


@dataclass
class Graph:
    """Calls in an order in which they can run, with the shapes of all tensors."""

    calls: list = field(default_factory=list)
    shapes: list = field(default_factory=list)
    inputs: list = field(default_factory=list)
    outputs: list = field(default_factory=list)

    def tensor(self, shape=None):
        """Returns the number of a new tensor."""
        self.shapes.append(None if shape is None else tuple(shape))
        return len(self.shapes) - 1


def read(model):
    """Reads the graph of `model`; refuses a model that has none."""
    checks.instance("model", model, keras.Model)
    if not can_open(model):
        checks.fail(
            "`model` must be a Functional or Sequential model: channels are followed "
            "through its graph",
            fix="Subclassed models have none, and layers without `get_config` hide it. "
            "Build the network with keras.Input and keras.Model(inputs, outputs).",
            model=model.name,
            type=type(model).__name__,
        )
    _prunable.check_built(model)
    graph = Graph()
    graph.inputs = [graph.tensor(tensor.shape) for tensor in model.inputs]
    graph.outputs = _open(graph, model, graph.inputs, "")
    for number, tensor in zip(graph.outputs, model.outputs, strict=True):
        graph.shapes[number] = tuple(tensor.shape)
    return graph


def can_open(layer):
    """Whether `layer` is a model with a graph of its own, and that graph is its call.

    A subclass that overrides `call` computes something else than its graph says, one
    with a constructor of its own does not tell its graph, and a subclass of
    Sequential is not copied as what it is.
    """
    if isinstance(layer, keras.Sequential):
        return type(layer) is keras.Sequential
    if not (isinstance(layer, keras.Model) and isinstance(layer, keras.Function)):
        return False
    bases = type(layer).__mro__
    functional = next(base for base in bases if keras.Function in base.__bases__)
    return type(layer).call is functional.call and "input_layers" in _config(layer)


def _config(model):
    try:
        return model.get_config()
    except NotImplementedError:  # arguments of its own that Keras cannot save
        return {}


def input_layers(model):
    """The input layers of a Functional model, in the order of its flat inputs."""
    names = [name for name, _, _ in _keys(model.get_config()["input_layers"])]
    return [model.get_layer(name) for name in names]


def _open(graph, model, feeds, prefix):
    if isinstance(model, keras.Sequential):
        return _open_sequential(graph, model, feeds, prefix)
    return _Reader(graph, model, prefix).read(feeds)


def _open_sequential(graph, model, feeds, prefix):
    dtype = model.inputs[0].dtype
    for layer in model.layers:
        path = prefix + layer.name
        # Unlike `compute_output_shape` a custom layer need not implement this.
        spec = layer.compute_output_spec(
            keras.KerasTensor(graph.shapes[feeds[0]], dtype)
        )
        shape, dtype = spec.shape, spec.dtype
        if can_open(layer) and len(feeds) == 1:
            graph.calls.append(Call(layer, path, feeds, feeds, entry=True))
            feeds = _open(graph, layer, feeds, f"{path}/")
            if len(feeds) == 1:
                graph.shapes[feeds[0]] = tuple(shape)
        else:
            made = [graph.tensor(shape)]
            graph.calls.append(Call(layer, path, feeds, made))
            feeds = made
    return feeds


def _references(value):
    """The saved tensors in the arguments of a call, in the order Keras flattens."""
    if isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            return [value["config"]]
        return [found for key in sorted(value) for found in _references(value[key])]
    if isinstance(value, list | tuple):
        return [found for item in value for found in _references(item)]
    return []


def _keys(structure):
    """The flat `(layer, node, tensor)` of the saved inputs or outputs of a model."""
    if isinstance(structure, dict):
        return [key for name in sorted(structure) for key in _keys(structure[name])]
    if len(structure) == 3 and isinstance(structure[0], str):
        return [tuple(structure)]
    return [key for item in structure for key in _keys(item)]


def _feeds(model, arguments):
    """The saved tensors a nested model was called on, or `None` if unclear."""
    args, kwargs = arguments["args"], dict(arguments["kwargs"])
    value = args[0] if args else kwargs.pop("inputs", None)
    if _references(args[1:]) or _references(kwargs):
        return None
    found, wanted = _references(value), len(model.inputs)
    if isinstance(value, dict) and value.get("class_name") != "__keras_tensor__":
        # Sorting by key is what Keras does only if the model was built on a dict.
        struct = model.get_config().get("input_layers")
        if not isinstance(struct, dict) or sorted(struct) != sorted(value):
            return None
    return found if len(found) == wanted else None


class _Reader:
    """Reads one Functional model from its config, the public form of its graph."""

    def __init__(self, graph, model, prefix):
        self.graph, self.model, self.prefix = graph, model, prefix
        self.config = model.get_config()
        self.layers = {operation.name: operation for operation in model.operations}
        self.tensors = {}  # (layer, node, tensor) -> number
        self.open_calls = {}  # (layer, node) -> Call with as many outputs as are used

    def read(self, feeds):
        keys = _keys(self.config["input_layers"])
        self.tensors.update(zip(keys, feeds, strict=True))
        waiting = [
            (entry["name"], index, node)
            for entry in self.config["layers"]
            for index, node in enumerate(entry["inbound_nodes"])
        ]
        while waiting:
            left = [item for item in waiting if not self._process(*item)]
            if len(left) == len(waiting):
                names = sorted({name for name, _, _ in left})
                raise ValueError(f"The graph of the model cannot be ordered: {names}.")
            waiting = left
        keys = _keys(self.config["output_layers"])
        return [self._number(self._output_key(*key)) for key in keys]

    def _output_key(self, name, index, slot):
        """Among outputs, and only there, Keras counts calls of models from 1."""
        nested = isinstance(self.layers[name], keras.Function)
        return (name, index - 1 if nested else index, slot)

    def _number(self, key, shape=None):
        """The number of a tensor whose call was read, else `None`."""
        if key not in self.tensors:
            call = self.open_calls.get(key[:2])
            if call is None:
                return None
            self.tensors[key] = self.graph.tensor()
            call.outputs.append(self.tensors[key])
        number = self.tensors[key]
        if shape is not None and self.graph.shapes[number] is None:
            self.graph.shapes[number] = tuple(shape)
        return number

    def _numbers(self, references):
        return [
            self._number(tuple(one["keras_history"]), one["shape"])
            for one in references
        ]

    def _process(self, name, index, node):
        """Adds one call if everything it needs is there; says whether it did."""
        layer, path = self.layers[name], self.prefix + name
        inputs = self._numbers(_references([node["args"], node["kwargs"]]))
        if None in inputs:
            return False
        feeds = _feeds(layer, node) if can_open(layer) else None
        if feeds is None:
            call = Call(layer, path, inputs, [], node)
            self.open_calls[name, index] = call
            self.graph.calls.append(call)
            return True
        numbers = self._numbers(feeds)
        entry = Call(layer, path, numbers, numbers, node, entry=True)
        self.graph.calls.append(entry)
        for slot, number in enumerate(_open(self.graph, layer, numbers, f"{path}/")):
            self.tensors[name, index, slot] = number
        return True
