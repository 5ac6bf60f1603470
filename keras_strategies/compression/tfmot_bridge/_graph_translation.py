"""Rebuild a serialized model layer by layer with the classes of the other Keras."""

import dataclasses
import types

from keras_strategies.compression.tfmot_bridge import _layer_config


@dataclasses.dataclass(frozen=True)
class Side:
    """One of the two: its layer classes, `Input`, `Model` and `Sequential`."""

    layers: types.ModuleType
    input: object
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
    """Rebuilds models; collects what stands in the way."""

    def __init__(self, source, target):
        self.source, self.target = source, target
        self.unknown, self.lost = [], []

    def model(self, kind, config):
        """Returns the model, or None where `unknown` or `lost` say why not."""
        if kind == "Sequential":
            return self._sequential(config)
        return self._functional(config)

    def _layer(self, entry):
        name = entry["config"].get("name", entry["class_name"])
        if _layer_config.is_model(entry):
            return self.model(entry["class_name"], entry["config"])
        here = _layer_config.find_class(entry, self.source.layers)
        there = getattr(self.target.layers, entry["class_name"], None)
        if here is None or there is None:
            self.unknown.append(f"'{name}' ({entry['class_name']})")
            return None
        config, lost = _layer_config.translate(
            entry, self.source.layers, self.target.layers, self.target.keras_3
        )
        if lost:
            self.lost.append(f"'{name}' ({entry['class_name']}): {', '.join(lost)}")
            return None
        try:
            return there(**config)
        except (TypeError, ValueError) as error:
            self.lost.append(f"'{name}' ({entry['class_name']}): {error}")
            return None

    def _input(self, entry):
        config = entry["config"]
        shape = config.get("batch_shape") or config.get("batch_input_shape")
        dtype = _layer_config.dtype_name(config["dtype"])
        if any(config.get(key) for key in ("sparse", "ragged")):
            self.lost.append(f"'{config['name']}' (InputLayer): sparse or ragged")
        return self.target.input(
            shape[1:], batch_size=shape[0], dtype=dtype, name=config["name"]
        )

    def _sequential(self, config):
        made = [
            self._input(entry)
            if entry["class_name"] == "InputLayer"
            else self._layer(entry)
            for entry in config["layers"]
        ]
        if self.unknown or self.lost:
            return None
        return self.target.sequential(made, name=config["name"])

    def _functional(self, config):
        tensors, waiting = {}, []
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
                waiting.append((entry["name"], node, layer, (args, kwargs)))
        if self.unknown or self.lost:
            return None
        ends = [_marked(config[key]) for key in ("input_layers", "output_layers")]
        waiting, ends = _renumbered(waiting, ends)
        while waiting:
            left = []
            for name, node, layer, (args, kwargs) in waiting:
                if all(_known(r, tensors) for r in _references((args, kwargs))):
                    args, kwargs = _filled((args, kwargs), tensors)
                    outputs = layer(*args, **kwargs)
                    tensors[name, node] = _listed(outputs)
                else:
                    left.append((name, node, layer, (args, kwargs)))
            if len(left) == len(waiting):
                raise ValueError(f"The graph of '{config['name']}' cannot be ordered.")
            waiting = left
        ends = [_single(_filled(end, tensors)) for end in ends]
        return self.target.model(*ends, name=config["name"])

    def _call(self, call):
        """Returns `(args, kwargs)` of a call with references for tensors."""
        if isinstance(call, dict):  # Keras 3
            return _marked_keras_3(call["args"]), _marked_keras_3(call["kwargs"])
        if isinstance(call, list) and _is_reference(call):
            call = [[*call, {}]]
        entries = [Reference(*entry[:3]) for entry in call]
        kwargs = call[0][3] if len(call[0]) > 3 else {}
        first = entries[0] if len(entries) == 1 else entries
        return [first], {key: _marked(value) for key, value in kwargs.items()}


def _renumbered(waiting, ends):
    """Numbers calls from 0: tf_keras also counts the one a nested model is made of."""
    calls, highest = {}, {}
    for name, *_ in waiting:
        calls[name] = calls.get(name, 0) + 1
    every = ([call for *_, call in waiting], ends)
    for reference in _references(every):
        top = max(highest.get(reference.layer, 0), reference.node)
        highest[reference.layer] = top
    shift = {
        name: max(0, top + 1 - calls[name])
        for name, top in highest.items()
        if name in calls
    }

    def moved(value):
        if isinstance(value, Reference):
            node = value.node - shift.get(value.layer, 0)
            return dataclasses.replace(value, node=node)
        if isinstance(value, dict):
            return {key: moved(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(moved(item) for item in value)
        return value

    return [(n, k, layer, moved(call)) for n, k, layer, call in waiting], moved(ends)


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


def _marked(value):
    """Turns `[name, node, tensor]` into references, anywhere in a structure."""
    if _is_reference(value):
        return Reference(*value[:3])
    if isinstance(value, dict):
        return {key: _marked(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_marked(item) for item in value]
    return value


def _marked_keras_3(value):
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        return Reference(*value["config"]["keras_history"])
    if isinstance(value, dict):
        return {key: _marked_keras_3(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_marked_keras_3(item) for item in value]
    return value


def _references(value):
    if isinstance(value, Reference):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _references(item)


def _known(reference, tensors):
    return (reference.layer, reference.node) in tensors


def _filled(value, tensors):
    if isinstance(value, Reference):
        return tensors[value.layer, value.node][value.tensor]
    if isinstance(value, dict):
        return {key: _filled(item, tensors) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_filled(item, tensors) for item in value]
    return value


def _listed(outputs):
    if isinstance(outputs, dict):
        return list(outputs.values())
    return list(outputs) if isinstance(outputs, list | tuple) else [outputs]


def _single(value):
    return value[0] if isinstance(value, list) and len(value) == 1 else value
