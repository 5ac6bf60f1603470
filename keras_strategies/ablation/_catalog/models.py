"""What the strategies of the catalog look for in a model."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import NoReturn

import keras

from keras_strategies import layers
from keras_strategies._internal.keras_private import (
    compile_arguments,
    raw_learning_rate,
)
from keras_strategies._internal.model_graph import Call, Graph, opaque_reason, read
from keras_strategies._internal.select import layer_targets
from keras_strategies._internal.traversal import base_optimizers, innermost_optimizer
from keras_strategies.ablation._not_applicable import NotApplicable

CONVOLUTIONS = (
    *(keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D),
    *(keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D),
    *(keras.layers.SeparableConv1D, keras.layers.SeparableConv2D),
)
KERNELS = (keras.layers.Dense, keras.layers.EinsumDense, *CONVOLUTIONS)


def refuse(reason: str) -> NoReturn:
    raise NotApplicable(reason)


def paths(model: keras.Model) -> dict[str, keras.layers.Layer]:
    """Layers by their path, those of nested models too."""
    return {target.path: target.item for target in layer_targets(model)}


def graph_of(model: keras.Model) -> Graph:
    """The calls of a model, nested models opened."""
    reason = opaque_reason(model)
    return (
        refuse(f"the model has no graph to look at: {reason}")
        if reason
        else read(model)
    )


def heads(model: keras.Model) -> list[Call]:
    """Calls of layers with kernels behind which there is no other one."""
    calls = [call for call in graph_of(model).calls if not call.is_entry]
    before: set[int] = set()  # ids of the calls that a layer with a kernel follows
    found = []
    for call in reversed(calls):
        has_kernel = isinstance(call.operation, KERNELS)
        if has_kernel and id(call) not in before:
            found.append(call)
        if has_kernel or id(call) in before:
            before.update(id(tensor.producer) for tensor in call.inputs)
    return found


def hidden_layers(model: keras.Model) -> dict[str, keras.layers.Layer]:
    """Layers other than those that make the outputs, by path."""
    ends = [call.operation for call in heads(model)]
    return {
        path: layer
        for path, layer in paths(model).items()
        if not any(layer is end for end in ends)
    }


def hidden(model: keras.Model) -> dict[str, keras.layers.Layer]:
    """Layers with kernels other than those that make the outputs, by path."""
    found = {
        path: layer
        for path, layer in hidden_layers(model).items()
        if isinstance(layer, KERNELS)
    }
    return found or refuse("the model has no hidden layer with a kernel")


def before_head(model: keras.Model) -> str:
    """Path of the layer whose output goes into the last layer with a kernel."""
    for call in heads(model):
        producer = call.inputs[0].producer
        if producer is not None and isinstance(producer.operation, keras.layers.Layer):
            return producer.path
    return refuse("the model has no layer in front of its last one")


def exact(names: Iterable[str]) -> str:
    """A regular expression for exactly these paths."""
    names = [re.escape(name) for name in names]
    return f"^{names[0]}$" if len(names) == 1 else f"^({'|'.join(names)})$"


def insert_behind(
    model: keras.Model,
    pattern: str,
    make: Callable[[keras.layers.Layer], keras.layers.Layer],
) -> keras.Model:
    """The model with new layers; the one use of `layers.insert` in the catalog."""
    return layers.insert(model, pattern, make)


def insert_code(pattern: str, layer: str) -> dict[str, str]:
    """The same as a line of Python, with its import."""
    return {
        "imports": "from keras_strategies import layers",
        "model": f"model = layers.insert(model, {pattern!r}, lambda layer: {layer})",
    }


def accessors(names: Sequence[str]) -> str:
    """The layers of these paths as a Python list."""
    items = []
    for name in names:
        steps = "".join(f".get_layer({part!r})" for part in name.split("/"))
        items.append(f"model{steps}")
    return "[" + ", ".join(items) + "]"


def loss_of(model: keras.Model) -> tuple[str, bool]:
    """Name of the only loss of a model, and whether it takes logits."""
    loss = compile_arguments(model)["loss"]
    if isinstance(loss, dict | list | tuple):
        refuse("the model has several losses")
    name = getattr(loss, "name", None) or getattr(loss, "__name__", None) or loss
    from_logits = bool(getattr(loss, "get_config", dict)().get("from_logits", False))
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", str(name)).lower(), from_logits


def optimizer_of(model: keras.Model) -> keras.optimizers.Optimizer:
    return innermost_optimizer(model.optimizer)


def has_schedule(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether the learning rate is a schedule object."""
    return any(
        isinstance(
            raw_learning_rate(item), keras.optimizers.schedules.LearningRateSchedule
        )
        for item in base_optimizers(optimizer)
    )


def needs_plain_rate(model: keras.Model) -> None:
    """Refuses a model whose optimizer follows a schedule already."""
    if has_schedule(model.optimizer):
        refuse("the optimizer of the model follows a learning-rate schedule already")


def rate(optimizer: keras.optimizers.Optimizer) -> float:
    """The learning rate as a number."""
    if has_schedule(optimizer):
        refuse("the optimizer of the model follows a learning-rate schedule")
    return float(f"{float(base_optimizers(optimizer)[0].learning_rate):.6g}")
