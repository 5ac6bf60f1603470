"""Moments of the activations and gradients of each layer in one training step."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from keras_strategies._internal import keras_private
from keras_strategies._internal.types import Tensor, Tensors
from keras_strategies.initializers import _activations
from keras_strategies.initializers._layers import (
    LOOPS,
    call_in_training,
    float_tensors,
    outside_loops,
    own_activation,
    patched,
    weight_of,
)

_LOGITS = ("softmax", "sigmoid")


class Probe:
    """Calls a model and records each call of its layers with kernels.

    Attributes:
        calls: One dict a call: `layer`, `z` (the values before the activation that the
            layer itself applies) and `output`.
        consumers: `[(layer, its output)]` by id of the tensor, for
            `_activations.following`.
        outputs: Ids of the outputs of the model.
        targets: The outputs of the model, before a final softmax or sigmoid.

    Args:
        model: The model.
        data: A batch of its inputs.
        offsets: One tensor a call that is added to `z`, or `None`. The gradients with
            respect to zeros added to `z` are those with respect to `z`.
    """

    def __init__(
        self, model: keras.Model, data: Tensors, offsets: Sequence[Tensor] | None = None
    ) -> None:
        self.calls, self.consumers, self._logits = [], {}, {}
        self._offsets = offsets
        # Consumed tensors: ids of garbage-collected ones would be used again.
        self._tensors = []
        layers = outside_loops(model)
        with_kernel = [
            layer
            for layer in layers
            if isinstance(layer, LOOPS) or weight_of(layer) is not None
        ]
        ids = {id(layer) for layer in with_kernel}
        without_kernel = [
            layer
            for layer in layers
            if id(layer) not in ids and _activations.is_leaf(layer)
        ]
        hooks = [(layer, "call", self._recording(layer)) for layer in with_kernel]
        hooks += [(layer, "call", self._following(layer)) for layer in without_kernel]
        # The scope discards changes of state: both probes see the same random numbers
        # and moving statistics.
        with (
            keras_private.preserved_losses(model),
            keras.StatelessScope(),
            patched(hooks),
        ):
            self._result = float_tensors(call_in_training(model, data))
        self.outputs: set[int] = {id(tensor) for tensor in self._result}
        self.targets: list[Tensor] = [
            self._logits.get(id(tensor), tensor) for tensor in self._result
        ]

    def _recording(self, layer: keras.layers.Layer) -> Callable[..., Tensors]:
        """Returns a `call` for a layer with a kernel that records `z` and output."""
        call, activation = layer.call, own_activation(layer)
        name = None if activation is None else _activations.name_of(activation)

        def add_offset(z: Tensor) -> Tensor:
            if self._offsets is None:
                return z
            return z + ops.cast(self._offsets[len(self.calls)], z.dtype)

        def recorded(*args: Any, **kwargs: Any) -> Tensors:
            recorded_z = []

            def record(z: Tensor) -> Tensor:
                recorded_z[:] = [add_offset(z)]
                return activation(recorded_z[0])

            hooks = [] if activation is None else [(layer, "activation", record)]
            with patched(hooks):
                outputs = call(*args, **kwargs)
            if not recorded_z:  # no activation of its own: `z` is the output
                outputs, recorded_z = _map_first(add_offset, outputs)
            output = float_tensors(outputs)[0]
            self.calls.append({"layer": layer, "z": recorded_z[0], "output": output})
            if name in _LOGITS:
                self._logits[id(output)] = recorded_z[0]
            self._add_consumer(layer, args, kwargs, outputs)
            return outputs

        return recorded

    def _following(self, layer: keras.layers.Layer) -> Callable[..., Tensors]:
        """Returns a `call` for another layer that records what it consumes."""
        call, name = layer.call, _activations.of_layer(layer)

        def followed(*args: Any, **kwargs: Any) -> Tensors:
            outputs = call(*args, **kwargs)
            inputs = float_tensors((args, kwargs))
            if name in _LOGITS and inputs:
                for tensor in float_tensors(outputs):
                    self._logits[id(tensor)] = inputs[0]
            self._add_consumer(layer, args, kwargs, outputs)
            return outputs

        return followed

    def _add_consumer(
        self, layer: keras.layers.Layer, args: Any, kwargs: Any, outputs: Any
    ) -> None:
        for tensor in float_tensors((args, kwargs)):
            for output in float_tensors(outputs)[:1]:
                self.consumers.setdefault(id(tensor), []).append((layer, output))
                self._tensors.append(tensor)


def _map_first(
    function: Callable[[Tensor], Tensor], outputs: Any
) -> tuple[Any, list[Tensor]]:
    """Applies a function to the first float tensor; returns all and it in a list."""
    leaves, mapped = keras.tree.flatten(outputs), []
    for i, leaf in enumerate(leaves):
        if not mapped and float_tensors([leaf]):
            leaves[i] = function(leaf)
            mapped.append(leaves[i])
    return keras.tree.pack_sequence_as(outputs, leaves), mapped


def measure(
    model: keras.Model, data: Tensors
) -> tuple[Probe, list[dict[str, Any]], list[tuple[int, float, float]]]:
    """Returns the probe, one dict of moments a call, and moments at the outputs.

    The gradients are those of the sum of the outputs, each multiplied by a fixed
    standard normal number: equally large at every output, whatever the loss will be.
    """
    probe = Probe(model, data)
    weights = [
        keras.random.normal(ops.shape(target), seed=index + 1)
        for index, target in enumerate(probe.targets)
    ]

    def weighted_sum(zeros: Sequence[Tensor]) -> tuple[Tensor, None]:
        targets = Probe(model, data, zeros).targets
        pairs = zip(weights, targets, strict=True)
        return sum(ops.sum(w * ops.cast(t, "float32")) for w, t in pairs), None

    zeros = [ops.zeros(ops.shape(call["z"]), "float32") for call in probe.calls]
    _, _, gradients = keras_private.gradients(weighted_sum, zeros)
    samples = int(ops.shape(probe.targets[0])[0])
    statistics = [
        {
            "activation": _moments(call["output"]),
            "gradient": _moments(gradient),
            "samples": samples,
        }
        for call, gradient in zip(probe.calls, gradients, strict=True)
    ]
    return probe, statistics, moments_of(weights)


def _moments(tensor: Tensor) -> tuple[int, float, float]:
    """Returns `(count, sum, sum of squares)`, accumulated in float64 by NumPy."""
    values = ops.convert_to_numpy(ops.stop_gradient(ops.cast(tensor, "float32")))
    values = values.astype("float64")
    return values.size, float(values.sum()), float((values**2).sum())


def pooled(moments: Sequence[tuple[int, float, float]]) -> tuple[float, float, float]:
    """Returns mean, standard deviation and norm over several tensors' moments."""
    counts, sums, squares = (sum(column) for column in zip(*moments, strict=True))
    if not counts:
        return 0.0, 0.0, 0.0
    mean = sums / counts
    variance = squares / counts - mean**2
    # Not `max(variance, 0)`, which would hide a NaN.
    deviation = 0.0 if variance < 0 else math.sqrt(variance)
    return mean, deviation, math.sqrt(squares)


def moments_of(tensors: Sequence[Tensor]) -> list[tuple[int, float, float]]:
    """Returns the moments of each tensor, for `pooled`."""
    return [_moments(tensor) for tensor in tensors]
