"""The softmax or sigmoid that a model ends in, and models without it."""

import collections
import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.interception import intercepting, replacing
from keras_strategies._internal.model_graph import is_open, read
from keras_strategies._internal.select import layer_targets

_PROBABILITIES = ("softmax", "sigmoid", "log_softmax")
# What hands its input on at inference, in another shape at most.
_PASSING = (
    keras.layers.Dropout,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
    keras.layers.Flatten,
    keras.layers.Reshape,
    keras.layers.Permute,
    keras.layers.Identity,
    keras.layers.ActivityRegularization,
)


@dataclasses.dataclass(frozen=True, eq=False)
class FinalActivation:
    """The activation that an output of a model ends in.

    Attributes:
        operation: The layer or operation that applies it.
        kind: `"softmax"`, `"sigmoid"` or `"log_softmax"`.
        calls_only: Whether the operation does nothing but the activation.
    """

    operation: Any
    kind: str
    calls_only: bool


def final_activations(
    model: keras.Model, example: Sequence[Any]
) -> list[FinalActivation | None]:
    """The activation at the end of each output of a model, flat; `None` without one.

    A model with a graph says so; any other is run on `example`, its flat inputs with
    their structure, and the layer looked for that made the output.
    """
    if is_open(model):
        return _of_graph(model)
    return _of_run(model, example)


def _of_graph(model):
    graph = read(model)
    counts: dict[int, int] = {}
    for call in graph.calls:
        if not call.is_entry:
            counts[id(call.operation)] = counts.get(id(call.operation), 0) + 1
    found = []
    for tensor in graph.outputs:
        call = tensor.producer
        while call is not None and _passes_on(call.operation) and call.inputs:
            call = call.inputs[0].producer
        once = call is not None and counts[id(call.operation)] == 1
        found.append(_activation(call.operation) if call is not None and once else None)
    return found


def _of_run(model, example):
    run = _Run(model, example)
    layers = [run.maker(output)[0] for output in run.outputs]
    return [_activation(layer) if run.is_only_call(layer) else None for layer in layers]


class _Run:
    """Which layer made which tensor, in one run of a model without a graph."""

    def __init__(self, model, example):
        self._makers: dict[int, tuple[Any, Any, Any]] = {}
        self._calls: collections.Counter[int] = collections.Counter()
        layers = [target.item for target in layer_targets(model)]

        def note(position, call, args, kwargs):
            result = call(*args, **kwargs)
            layer, argument = layers[position], args[0] if args else None
            self._calls[id(layer)] += 1
            for leaf in keras.tree.flatten(result):
                # The tensor is kept so that no other one gets its id. A layer inside of
                # others that return what it made comes first, and one that returns its
                # argument, as dropout does, has made nothing.
                if leaf is not argument:
                    self._makers.setdefault(id(leaf), (leaf, layer, argument))
            return result

        with intercepting(layers, note):
            self.outputs = keras.tree.flatten(model(example, training=False))

    def maker(self, tensor):
        """The layer that made a tensor and its argument; `None` twice for others."""
        return self._makers.get(id(tensor), (None, None, None))[1:]

    def is_only_call(self, layer):
        """Whether there is a layer and it was called once."""
        return layer is not None and self._calls[id(layer)] == 1


def _passes_on(operation):
    if type(operation) is keras.layers.Activation:
        return operation.activation is keras.activations.linear
    return isinstance(operation, _PASSING)


def _activation(operation):
    # Operations of `keras.ops` have no public classes: their names tell.
    name = type(operation).__name__
    if isinstance(operation, keras.layers.Softmax) or (
        name in ("Softmax", "Sigmoid", "LogSoftmax")
        and not isinstance(operation, keras.layers.Layer)
    ):
        kind = {"Softmax": "softmax", "Sigmoid": "sigmoid"}.get(name, "log_softmax")
        return FinalActivation(operation, kind, calls_only=True)
    activation = getattr(operation, "activation", None)
    for kind in _PROBABILITIES:
        if activation is getattr(keras.activations, kind):
            return FinalActivation(operation, kind, calls_only=False)
    return None


@contextlib.contextmanager
def without(activation: FinalActivation | None) -> Iterator[None]:
    """Inside the block a model computes what goes into the activation."""
    if activation is None:
        yield
    elif activation.calls_only:
        with intercepting(
            [activation.operation], lambda _, call, args, kwargs: args[0]
        ):
            yield
    else:
        linear = keras.activations.linear
        with replacing(activation.operation, "activation", linear):
            yield


_LINEAR = (
    keras.layers.Dense,
    keras.layers.EinsumDense,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
)


def logits_layer(model: keras.Model, example: Any) -> Any:
    """The layer whose weights the logits of a model with one output are linear in.

    Refuses a model whose last layer, but for softmax or sigmoid, is another one, is
    called twice, or has other weights than a kernel and a bias.
    """
    layer = _graph_logits(model) if is_open(model) else _run_logits(model, example)
    plain = (
        isinstance(layer, _LINEAR)
        and getattr(layer, "quantization_mode", None) is None
        and not getattr(layer, "lora_enabled", False)
    )
    linear = keras.activations.linear
    ends = (linear, *(getattr(keras.activations, kind) for kind in _PROBABILITIES))
    if not plain or layer.activation not in ends:
        checks.fail(
            "The model must end in a Dense, EinsumDense or convolution layer, which is "
            "called once, and softmax or sigmoid or nothing behind it",
            fix="Merge LoRA and scale the temperature before quantization.",
            model=model.name,
            layer=getattr(layer, "name", None),
        )
    return layer


def _graph_logits(model):
    graph = read(model)
    calls = [call.operation for call in graph.calls if not call.is_entry]
    call = graph.outputs[0].producer
    while call is not None and call.inputs:
        end = _activation(call.operation)
        has_weights = bool(getattr(call.operation, "weights", ()))
        if has_weights or not (_passes_on(call.operation) or end is not None):
            break
        call = call.inputs[0].producer
    if call is None or sum(other is call.operation for other in calls) != 1:
        return None
    return call.operation


def _run_logits(model, example):
    """In a model without a graph: the layer that made what the last ones passed on."""
    run = _Run(model, example)
    layer, before = run.maker(run.outputs[0])
    while (
        layer is not None
        and not layer.weights
        and (_passes_on(layer) or _activation(layer) is not None)
    ):
        layer, before = run.maker(before)
    return layer if run.is_only_call(layer) else None
