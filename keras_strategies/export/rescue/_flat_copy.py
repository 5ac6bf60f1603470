"""Copy of a model without nested models, with BatchNormalization folded in."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_strategies._internal.model_graph import (
    Call,
    assemble,
    check_rebuildable,
    clone_layer,
    copy_state,
    read,
    substitute,
)
from keras_strategies._internal.weights import quantized
from keras_strategies.export.rescue import _kernels

_LAYERS = keras.layers


class FlatCopy:
    """Copies the calls of a model one by one.

    Every weighted layer gets a bias, as most changes move something into it. Layers
    keep their names; of two layers of one name, from nested models, the later gets a
    number.

    Args:
        model: A built Functional or Sequential model.
        replace_relu6: Whether relu6 becomes relu.
    """

    def __init__(self, model: keras.Model, replace_relu6: bool = False) -> None:
        quantized.check_not_quantize_aware(
            model, "It has adapted to its roundings in training: export it as it is."
        )
        check_rebuildable(model)
        self.model, self.replace_relu6 = model, replace_relu6
        graph = read(model)
        self.graph = graph
        self.calls = [call for call in graph.calls if not call.is_entry]
        counts: dict[int, int] = {}
        for call in self.calls:
            counts[id(call.operation)] = counts.get(id(call.operation), 0) + 1
        self.counts = counts
        self.names: set[str] = set()
        self.copies: dict[int, tuple[Any, Any]] = {}
        self.folds = {call: norm for call in self.calls if (norm := self._fold(call))}

    def build(self) -> keras.Model:
        """Returns the copy, with its weights, not compiled."""
        values, inputs = {}, []
        for tensor, old in zip(self.graph.inputs, self.model.inputs, strict=True):
            self.names.add(old.name)
            new = keras.Input(batch_shape=old.shape, dtype=old.dtype, name=old.name)
            inputs.append(new)
            values[tensor] = new
        folded = {id(norm) for norm in self.folds.values()}
        for call in self.calls:
            if id(call) in folded:
                continue
            layer = self._copy(call)
            args, kwargs = substitute((call.args, call.kwargs), values)
            made = keras.tree.flatten(layer(*args, **kwargs))
            outputs = self.folds[call].outputs if call in self.folds else call.outputs
            values.update(zip(outputs, made, strict=True))
        for old, new in self.copies.values():
            self._fill(old, new)
        results = [values[tensor] for tensor in self.graph.outputs]
        if isinstance(self.model, keras.Sequential):
            return assemble(self.model, inputs[0], results[0])
        pack = keras.tree.pack_sequence_as
        return assemble(
            self.model,
            pack(self.model.input, inputs),
            pack(self.model.output, results),
        )

    def _fold(self, call: Call) -> Call | None:
        """The call of the BatchNormalization that is folded into that of a layer."""
        layer = call.operation
        if not _kernels.is_weighted(layer) or not _is_linear(layer):
            return None
        [output] = call.outputs
        # Another consumer, or the caller, needs the value before the normalization.
        if output.is_output or len(output.consumers) != 1:
            return None
        norm = output.consumers[0].operation
        is_norm = type(norm) is _LAYERS.BatchNormalization
        # The folded kernel would be right for one of the calls only.
        is_shared = self.counts[id(layer)] > 1 or self.counts.get(id(norm), 0) > 1
        if not is_norm or is_shared:
            return None
        first = getattr(layer, "data_format", "channels_last") == "channels_first"
        rank = len(output.shape)
        is_channel = norm.axis % rank == (1 if first else rank - 1)
        return output.consumers[0] if is_channel else None

    def _copy(self, call):
        operation = call.operation
        if id(operation) in self.copies:
            return self.copies[id(operation)][1]
        changes: dict[str, Any] = {}
        if "name" in operation.get_config():
            changes["name"] = self._name(operation.name)
        if _kernels.is_weighted(operation):
            changes["use_bias"] = True
        if self.replace_relu6:
            changes |= _without_limit(operation)
        copy = clone_layer(operation, **changes)
        self.copies[id(operation)] = (operation, copy)
        return copy

    def _fill(self, old, new):
        if not isinstance(old, _LAYERS.Layer):
            return
        if not _kernels.is_weighted(old):
            copy_state(old, new)
            return
        kernel, bias = _kernels.kernel_of(old), _kernels.bias_of(old)
        for call, norm in self.folds.items():
            if call.operation is old:
                scale, offset = _affine(norm.operation)
                kernel = _kernels.scale_outputs(old, kernel, scale)
                bias = bias * scale + offset
        _kernels.assign(new, kernel, bias)
        new.trainable = old.trainable

    def _name(self, name):
        base, number = name, 1
        while name in self.names:
            name = f"{base}_{number}"
            number += 1
        self.names.add(name)
        return name


def flat_copy(model: keras.Model, replace_relu6: bool = False) -> keras.Model:
    """A copy of a model that the rescue can change layer by layer."""
    return FlatCopy(model, replace_relu6).build()


def weighted_layers(model: keras.Model) -> list[Any]:
    """The weighted layers of a flat copy that are called once, in order."""
    calls = [call.operation for call in read(model).calls]
    return [
        layer
        for layer in calls
        if _kernels.is_weighted(layer) and sum(x is layer for x in calls) == 1
    ]


def activation_of(layer: Any) -> Callable[..., Any]:
    """The activation argument of a weighted layer."""
    return layer.activation or keras.activations.linear


def _is_linear(layer):
    return activation_of(layer) is keras.activations.linear


def _affine(norm):
    """`(scale, offset)` of BatchNormalization at inference, by channel."""
    variance = keras.ops.convert_to_numpy(norm.moving_variance).astype("float64")
    mean = keras.ops.convert_to_numpy(norm.moving_mean).astype("float64")
    # In float64, so that folding rounds once, when the kernel is assigned.
    scale = 1.0 / np.sqrt(variance + norm.epsilon)
    if norm.scale:
        scale = scale * keras.ops.convert_to_numpy(norm.gamma)
    offset = -mean * scale
    if norm.center:
        offset = offset + keras.ops.convert_to_numpy(norm.beta)
    return scale, offset


def _without_limit(operation):
    """The changes by which relu6 becomes relu."""
    if isinstance(operation, _LAYERS.ReLU) and operation.max_value is not None:
        return {"max_value": None}
    if getattr(operation, "activation", None) is keras.activations.relu6:
        return {"activation": "relu"}
    return {}
