"""Simulation of int8 in a flat model: rounded kernels, rounded activations.

Ranges are those of the converter: symmetric for weights, from the minimum to the
maximum of the data for activations, after the activation function that it fuses.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_strategies._internal import bases
from keras_strategies._internal.model_graph import Rewriter, Step, read
from keras_strategies.export.rescue import _kernels
from keras_strategies.export.rescue._flat_copy import weighted_layers

_LAYERS = keras.layers
_FUSED = (_LAYERS.ReLU, _LAYERS.Activation, _LAYERS.LeakyReLU)


class _Switch(bases.Layer):
    """Rounds values to 8 bits of a range if it is on."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        # low, high, whether it is on
        self.state = self.add_weight(
            shape=(3,), initializer="zeros", trainable=False, name="state"
        )

    def call(self, inputs: Any) -> Any:
        low, high, on = (ops.convert_to_tensor(self.state)[i] for i in range(3))
        scale = ops.maximum(high - low, 1e-12) / 255.0
        zero = ops.round(-low / scale)
        rounded = ops.clip(ops.round(inputs / scale) + zero, 0, 255) - zero
        return ops.where(on > 0, rounded * scale, inputs)


class Simulation:
    """A copy of a flat model of which each layer can be rounded by itself.

    Args:
        model: A flat copy. It is not changed.
        data: Inputs for the ranges of activations.
        per_channel: Whether output channels have ranges of their own.
        activations: Whether the outputs of the layers are rounded too.
    """

    def __init__(
        self, model: keras.Model, data: Any, per_channel: bool, activations: bool
    ) -> None:
        self.per_channel, self.activations = per_channel, activations
        copy = _WithSwitches(model)
        self.model = copy.rebuild()
        self.layers: list[Any] = [
            copy.copies[id(layer)][1] for layer in weighted_layers(model)
        ]
        self.switches: dict[str, _Switch] = copy.switches
        self.kernels = {layer.name: _kernels.kernel_of(layer) for layer in self.layers}
        if activations:
            self._set_ranges(data)

    def set_bits(self, bits: dict[str, int | None]) -> None:
        """Rounds the named layers to so many bits, all others not at all."""
        for layer in self.layers:
            kernel, number = self.kernels[layer.name], bits.get(layer.name)
            if number is not None:
                kernel = _kernels.rounded(layer, kernel, number, self.per_channel)
            _kernels.assign(layer, kernel)
            if self.activations:
                state = keras.ops.convert_to_numpy(self.switches[layer.name].state)
                value = np.array([*state[:2], number is not None], "float32")
                self.switches[layer.name].state.assign(value)

    def outputs(self, data: Any) -> list[np.ndarray]:
        """The outputs of the model, as a flat list."""
        made = self.model.predict(data, batch_size=128, verbose=0)
        return [np.asarray(leaf, "float64") for leaf in keras.tree.flatten(made)]

    def _set_ranges(self, data):
        names = list(self.switches)
        probe = keras.Model(
            self.model.inputs, [self.switches[name].output for name in names]
        )
        values = keras.tree.flatten(probe.predict(data, batch_size=128, verbose=0))
        for name, value in zip(names, values, strict=True):
            low, high = min(float(value.min()), 0.0), max(float(value.max()), 0.0)
            self.switches[name].state.assign(np.array([low, high, 0.0], "float32"))


class _WithSwitches(Rewriter):
    """Puts a switch behind each weighted layer, or the activation that follows it."""

    def __init__(self, model: keras.Model) -> None:
        super().__init__(model)
        weighted = {id(layer) for layer in weighted_layers(model)}
        self.places: dict[int, str] = {}
        self.switches: dict[str, _Switch] = {}
        for call in read(model).calls:
            if id(call.operation) not in weighted:
                continue
            [output] = call.outputs
            last = call.operation
            if len(output.consumers) == 1 and not output.is_output:
                follower = output.consumers[0].operation
                last = follower if isinstance(follower, _FUSED) else last
            self.places[id(last)] = call.operation.name

    def step(self, layer: Any, path: str) -> Step:
        step = super().step(layer, path)
        name = self.places.get(id(layer))
        if name is not None:
            self.switches[name] = _Switch(name=f"{name}_switch")
            step.after = (self.switches[name],)
        return step


def relative_error(outputs: list[np.ndarray], expected: list[np.ndarray]) -> float:
    """Mean squared error over the variance of the expected outputs, mean of outputs."""
    errors = []
    for made, right in zip(outputs, expected, strict=True):
        spread = np.mean(np.square(right - right.mean(axis=0)))
        errors.append(np.mean(np.square(made - right)) / max(spread, 1e-12))
    return float(np.mean(errors))
