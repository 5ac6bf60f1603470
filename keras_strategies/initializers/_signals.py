"""What flows through a model, forwards and backwards, in one step of training."""

import math

import keras
from keras import ops

from keras_strategies._internal import keras_private
from keras_strategies.initializers import _activations
from keras_strategies.initializers._layers import (
    LOOPS,
    call_in_training,
    float_tensors,
    outside_loops,
    own_activation,
    shadowed,
    weight_of,
)

_LOGITS = ("softmax", "sigmoid")


class Probe:
    """Calls a model and looks at each call of its layers with kernels.

    `calls` has a dict for each: `layer`, `z` (before the activation that the layer
    itself applies), `output`. `users` and `outputs` are for `_activations.following`,
    `targets` the outputs of the model, before a last softmax or sigmoid.
    """

    def __init__(self, model, batch, added=None):
        self.calls, self.users, self._logits = [], {}, {}
        self._added = added
        layers = outside_loops(model)
        measured = [
            layer
            for layer in layers
            if isinstance(layer, LOOPS) or weight_of(layer) is not None
        ]
        ids = {id(layer) for layer in measured}
        others = [
            layer
            for layer in layers
            if id(layer) not in ids and _activations.is_leaf(layer)
        ]
        hooks = [(layer, "call", self._measuring(layer)) for layer in measured]
        hooks += [(layer, "call", self._following(layer)) for layer in others]
        # Twice the same states, and none of them changed.
        with keras_private.kept_losses(model), keras.StatelessScope(), shadowed(hooks):
            self._result = float_tensors(call_in_training(model, batch))
        self.outputs = {id(tensor) for tensor in self._result}
        self.targets = [self._logits.get(id(tensor), tensor) for tensor in self._result]

    def _measuring(self, layer):
        call, activation = layer.call, own_activation(layer)
        name = None if activation is None else _activations.name_of(activation)

        def add(z):
            if self._added is None:
                return z
            return z + ops.cast(self._added[len(self.calls)], z.dtype)

        def measured(*args, **kwargs):
            seen = []

            def record(z):
                seen[:] = [add(z)]
                return activation(seen[0])

            hooks = [] if activation is None else [(layer, "activation", record)]
            with shadowed(hooks):
                outputs = call(*args, **kwargs)
            if not seen:
                outputs, seen = _changed(outputs, add)
            output = float_tensors(outputs)[0]
            self.calls.append({"layer": layer, "z": seen[0], "output": output})
            if name in _LOGITS:
                self._logits[id(output)] = seen[0]
            self._use(layer, args, kwargs, outputs)
            return outputs

        return measured

    def _following(self, layer):
        call, name = layer.call, _activations.of_layer(layer)

        def followed(*args, **kwargs):
            outputs = call(*args, **kwargs)
            inputs = float_tensors((args, kwargs))
            if name in _LOGITS and inputs:
                for tensor in float_tensors(outputs):
                    self._logits[id(tensor)] = inputs[0]
            self._use(layer, args, kwargs, outputs)
            return outputs

        return followed

    def _use(self, layer, args, kwargs, outputs):
        for tensor in float_tensors((args, kwargs)):
            for output in float_tensors(outputs)[:1]:
                # The tensor is kept too: ids of dead ones are given again.
                self.users.setdefault(id(tensor), []).append((layer, output))
                self.users.setdefault(None, []).append(tensor)


def _changed(outputs, add):
    """`outputs` with `add` applied to the first tensor, and that in a list."""
    leaves, seen = keras.tree.flatten(outputs), []
    for i, leaf in enumerate(leaves):
        if not seen and float_tensors([leaf]):
            leaves[i] = add(leaf)
            seen.append(leaves[i])
    return keras.tree.pack_sequence_as(outputs, leaves), seen


def measure(model, batch):
    """`(probe, statistics)`: one dict a call with the moments of both directions.

    The gradients are those of the sum of the outputs, each multiplied by a fixed
    standard normal number: as large at every output, whatever the loss will be.
    """
    probe = Probe(model, batch)
    numbers = [
        keras.random.normal(ops.shape(target), seed=index + 1)
        for index, target in enumerate(probe.targets)
    ]

    def weighted_sum(zeros):
        targets = Probe(model, batch, zeros).targets
        pairs = zip(numbers, targets, strict=True)
        return sum(ops.sum(n * ops.cast(t, "float32")) for n, t in pairs), None

    zeros = [ops.zeros(ops.shape(call["z"]), "float32") for call in probe.calls]
    _, _, found = keras_private.gradients(weighted_sum, zeros)
    samples = int(ops.shape(probe.targets[0])[0])
    statistics = [
        {
            "activation": _moments(call["output"]),
            "gradient": _moments(gradient),
            "samples": samples,
        }
        for call, gradient in zip(probe.calls, found, strict=True)
    ]
    return probe, statistics, [_moments(n) for n in numbers]


def _moments(tensor):
    """`(count, sum, sum of squares)`, summed in float64 by NumPy."""
    values = ops.convert_to_numpy(ops.stop_gradient(ops.cast(tensor, "float32")))
    values = values.astype("float64")
    return values.size, float(values.sum()), float((values**2).sum())


def pooled(moments):
    """`(mean, standard deviation, root of the sum of squares)` of several."""
    counts, sums, squares = (sum(column) for column in zip(*moments, strict=True))
    if not counts:
        return 0.0, 0.0, 0.0
    mean = sums / counts
    variance = squares / counts - mean**2
    # `max` would hide a NaN.
    deviation = 0.0 if variance < 0 else math.sqrt(variance)
    return mean, deviation, math.sqrt(squares)


def moments_of(tensors):
    return [_moments(tensor) for tensor in tensors]
