"""Rebuilding of a serialized model with the layer classes of the other Keras.

The two serialize graphs differently. Keras 3 writes `__keras_tensor__` entries in the
arguments of each call, tf_keras lists `[layer, node, tensor, kwargs]`. Both become
`Reference`s, and calls are made again as soon as the tensors they take exist.
"""

import dataclasses
import types
from collections.abc import Iterator
from typing import Any

from keras_strategies.compression.tfmot_bridge import _layer_config


@dataclasses.dataclass(frozen=True)
class Side:
    """One of the two: its layer classes, `Input`, `Model` and `Sequential`."""

    layers: types.ModuleType
    input: Any
    model: type
    sequential: type
    keras_3: bool


@dataclasses.dataclass(frozen=True)
class Reference:
    """A tensor of the graph: output `tensor` of call `node` of `layer`."""

    layer: str
    node: int
    tensor: int


class Translation:
    """Rebuilds models; collects the layers and settings that have no counterpart."""

    def __init__(self, source: Side, target: Side) -> None:
        self.source, self.target = source, target
        self.unknown: list[str] = []
        self.lost: list[str] = []

    def model(self, kind: str, config: dict[str, Any]) -> Any:
        """Returns the model, or None where `unknown` or `lost` say why not."""
        if kind == "Sequential":
            return self._sequential(config)
        return self._functional(config)

    def _layer(self, entry):
        name = entry["config"].get("name", entry["class_name"])
        if _layer_config.is_model(entry):
            return self.model(entry["class_name"], entry["config"])
        old_class = _layer_config.find_class(entry, self.source.layers)
        new_class = getattr(self.target.layers, entry["class_name"], None)
        if old_class is None or new_class is None:
            self.unknown.append(f"'{name}' ({entry['class_name']})")
            return None
        config, lost = _layer_config.translate(
            entry, self.source.layers, self.target.layers, self.target.keras_3
        )
        if lost:
            self.lost.append(f"'{name}' ({entry['class_name']}): {', '.join(lost)}")
            return None
        try:
            return new_class(**config)
        except (TypeError, ValueError) as error:
            self.lost.append(f"'{name}' ({entry['class_name']}): {error}")
            return None

    def _input(self, entry):
        config = entry["config"]
        shape = config.get("batch_shape") or config.get("batch_input_shape")
        dtype = _layer_config.dtype_name(config["dtype"])
        # Keras 3 has no ragged tensors, and its sparse ones are of another kind.
        if any(config.get(key) for key in ("sparse", "ragged")):
            self.lost.append(f"'{config['name']}' (InputLayer): sparse or ragged")
        return self.target.input(
            shape[1:], batch_size=shape[0], dtype=dtype, name=config["name"]
        )

    def _sequential(self, config):
        layers = [
            self._input(entry)
            if entry["class_name"] == "InputLayer"
            else self._layer(entry)
            for entry in config["layers"]
        ]
        if self.unknown or self.lost:
            return None
        return self.target.sequential(layers, name=config["name"])

    def _functional(self, config):
        tensors: dict[tuple[str, int], list[Any]] = {}
        pending = []  # calls: (name of the layer, number of the call, layer, arguments)
        # Keras 3 lists the mask of an Embedding as an operation; tf_keras does not.
        masks = {e["name"] for e in config["layers"] if _is_mask(e)}
        for entry in config["layers"]:
            if entry["name"] in masks:
                continue
            if entry["class_name"] == "InputLayer":
                tensors[entry["name"], 0] = [self._input(entry)]
                continue
            layer = self._layer(entry)
            for node, call in enumerate(entry["inbound_nodes"]):
                args, kwargs = self._call(call)
                kwargs = {
                    key: value
                    for key, value in kwargs.items()
                    if not any(r.layer in masks for r in _references(value))
                }
                pending.append((entry["name"], node, layer, (args, kwargs)))
        if self.unknown or self.lost:
            return None
        ends = [
            _parse_references(config[key]) for key in ("input_layers", "output_layers")
        ]
        pending, ends = _renumbered(pending, ends)
        # A layer that is shared is listed once, perhaps before the tensors of its
        # later calls exist: each pass makes the calls that are ready.
        while pending:
            blocked = []
            for name, node, layer, (args, kwargs) in pending:
                references = _references((args, kwargs))
                if all((r.layer, r.node) in tensors for r in references):
                    args, kwargs = _resolved((args, kwargs), tensors)
                    tensors[name, node] = _as_list(layer(*args, **kwargs))
                else:
                    blocked.append((name, node, layer, (args, kwargs)))
            if len(blocked) == len(pending):
                raise ValueError(f"The graph of '{config['name']}' cannot be ordered.")
            pending = blocked
        ends = [_unwrapped(_resolved(end, tensors)) for end in ends]
        return self.target.model(*ends, name=config["name"])

    def _call(self, call):
        """Returns `(args, kwargs)` of a call with references for tensors."""
        if isinstance(call, dict):  # Keras 3
            return _parse_keras_3(call["args"]), _parse_keras_3(call["kwargs"])
        # tf_keras leaves out the list around a single input.
        if isinstance(call, list) and _is_reference(call):
            call = [[*call, {}]]
        entries = [Reference(*entry[:3]) for entry in call]
        # Keyword arguments of a call stand in the entry of its first tensor.
        kwargs = call[0][3] if len(call[0]) > 3 else {}
        first = entries[0] if len(entries) == 1 else entries
        return [first], {key: _parse_references(value) for key, value in kwargs.items()}


def _renumbered(pending, ends):
    """Numbers calls from 0: tf_keras also counts the one a nested model is made of."""
    num_calls: dict[str, int] = {}
    last_node: dict[str, int] = {}
    for name, *_ in pending:
        num_calls[name] = num_calls.get(name, 0) + 1
    for reference in _references(([call for *_, call in pending], ends)):
        last = max(last_node.get(reference.layer, 0), reference.node)
        last_node[reference.layer] = last
    shift = {
        name: max(0, last + 1 - num_calls[name])
        for name, last in last_node.items()
        if name in num_calls
    }

    def shifted(value):
        if isinstance(value, Reference):
            node = value.node - shift.get(value.layer, 0)
            return dataclasses.replace(value, node=node)
        return value

    calls = [(n, k, layer, _mapped(shifted, call)) for n, k, layer, call in pending]
    return calls, _mapped(shifted, ends)


def _is_mask(entry):
    """Whether a node is the mask of an Embedding, which each side makes by itself."""
    return entry["class_name"] == "NotEqual" and ".ops" in (entry.get("module") or "")


def _is_reference(value):
    return (
        isinstance(value, list | tuple)
        and len(value) >= 3
        and isinstance(value[0], str)
        and all(isinstance(v, int) for v in value[1:3])
    )


def _mapped(function, value):
    """A structure with `function(item)` for each item, at any depth, that it changes.

    Tuples become lists.
    """
    changed = function(value)
    if changed is not value:
        return changed
    if isinstance(value, dict):
        return {key: _mapped(function, item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_mapped(function, item) for item in value]
    return value


def _parse_references(structure):
    """Turns `[name, node, tensor]` into references, anywhere in a structure."""
    return _mapped(
        lambda value: Reference(*value[:3]) if _is_reference(value) else value,
        structure,
    )


def _parse_keras_3(structure):
    """Turns `__keras_tensor__` entries into references, anywhere in a structure."""

    def parsed(value):
        if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
            return Reference(*value["config"]["keras_history"])
        return value

    return _mapped(parsed, structure)


def _references(value: Any) -> Iterator[Reference]:
    """All references in a structure."""
    if isinstance(value, Reference):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _references(item)


def _resolved(structure, tensors):
    """A structure with tensors in place of references."""

    def tensor_of(value):
        if isinstance(value, Reference):
            return tensors[value.layer, value.node][value.tensor]
        return value

    return _mapped(tensor_of, structure)


def _as_list(outputs):
    if isinstance(outputs, dict):
        return list(outputs.values())
    return list(outputs) if isinstance(outputs, list | tuple) else [outputs]


def _unwrapped(value):
    return value[0] if isinstance(value, list) and len(value) == 1 else value
