"""Rebuilding of a graph of calls as a model that simulates integer arithmetic.

Every operation of the integer model takes tensors of 8 bits and makes one. In the
simulation a `FakeQuantize` layer follows each operation, except where LiteRT
computes several of them in one kernel (convolution, BatchNormalization and ReLU).
"""

from collections.abc import Callable, Mapping
from typing import Any

import keras

from keras_strategies._internal.keras_private import input_layer_of
from keras_strategies._internal.model_graph import (
    Call,
    Graph,
    Tensor,
    clone_layer,
    substitute,
)
from keras_strategies.compression.quantization import (
    _custom_layers,
    _roles,
    _weight_layers,
)
from keras_strategies.compression.quantization._activation_layers import (
    FakeQuantize,
    QuantizedAffine,
)
from keras_strategies.compression.quantization._folding import (
    folded_calls,
    is_linear,
    uses_batch_statistics,
)

_LAYERS = keras.layers
# Roles whose inputs are not rounded: indices of an Embedding, layers left in float.
_UNROUNDED_INPUTS = (_roles.FLOAT, _roles.LOOKUP)


class Rebuild:
    """Calls copies of the layers again, with ranges in between.

    Args:
        graph: A `model_graph.Graph` without entries.
        roles: `{call: role}`.
        bits: Function of a path: bits of its weights.
        per_channel: Whether convolutions have a range for each output channel.
        momentum: Of the moving averages.
        may_fold: Function of a layer: whether BatchNormalization may be folded in.
    """

    def __init__(
        self,
        graph: Graph,
        roles: Mapping[Call, str],
        bits: Callable[[str], int],
        per_channel: bool,
        momentum: float,
        may_fold: Callable[[Any], bool],
    ) -> None:
        self.graph = graph
        self.roles = roles
        self.bits = bits
        self.per_channel = per_channel
        self.momentum = momentum
        # The symbolic Keras tensor of each tensor of the graph.
        self.values: dict[Tensor, Any] = {}
        # Inputs as given: indices must not be rounded.
        self.unrounded: dict[Tensor, Any] = {}
        # Tensors whose values are already those of 8 bits.
        self.quantized: set[Tensor] = set()
        self.copies: dict[int, Any] = {}
        # (layer, its copy), whose weights are copied at the end.
        self.pairs: list[tuple[Any, Any]] = []
        self.names: set[str] = set()
        self.folds = folded_calls(graph, roles, may_fold)
        self.folded = set(self.folds.values())
        # Name of each output, by which losses may be given.
        self.output_names: dict[Tensor, str] = {}

    def run(self, model: keras.Model) -> tuple[Any, Any]:
        """Returns the inputs and outputs of the new model, structured as before."""
        self._reserve_output_names(model)
        inputs = []
        for tensor, old in zip(self.graph.inputs, model.inputs, strict=True):
            self.names.add(old.name)
            new = self._input(old)
            inputs.append(new)
            self.values[tensor] = self.unrounded[tensor] = new
            roles = [self.roles[consumer] for consumer in tensor.consumers]
            if any(role not in _UNROUNDED_INPUTS for role in roles):
                # Keras names an Input without a name `keras_tensor_<number>`.
                anonymous = old.name.startswith("keras_t")
                self._ensure_quantized(tensor, "input" if anonymous else old.name)
        for call in self.graph.calls:
            if call not in self.folded:
                self._rebuild_call(call)
        outputs = [self._output(tensor) for tensor in self.graph.outputs]
        for layer, copy in self.pairs:
            _copy_weights(layer, copy)
        if isinstance(model, keras.Sequential):
            return inputs[0], outputs[0]
        pack = keras.tree.pack_sequence_as
        return pack(model.input, inputs), pack(model.output, outputs)

    def _input(self, old):
        """An input with the names of an old one: that of its tensor and its layer.

        They differ for an Input without a name. Either may be a key of input data,
        and the layer's is the one that a saved model has.
        """
        name = input_layer_of(old).name
        self.names.add(name)
        tensor = keras.KerasTensor(
            old.shape, dtype=old.dtype, sparse=old.sparse, name=old.name
        )
        layer = _LAYERS.InputLayer(
            batch_shape=old.shape,
            dtype=old.dtype,
            sparse=old.sparse,
            name=name,
            input_tensor=tensor,
        )
        return layer.output

    def _reserve_output_names(self, model):
        """Names of outputs are kept if each is that of one output."""
        if isinstance(model, keras.Sequential):
            return
        names = dict(zip(self.graph.outputs, model.output_names, strict=True))
        if len(set(names.values())) == len(model.output_names):
            self.output_names = names

    def _output(self, tensor):
        """The value of an output, made by a layer of the output's name."""
        value, name = self.values[tensor], self.output_names.get(tensor)
        if name is None or name in self.names:
            return value
        return _LAYERS.Identity(name=self._layer_name(name, tensor))(value)

    # One method for each role.

    def _rebuild_call(self, call):
        role = self.roles[call]
        if role == _roles.FLOAT:
            self._copy_call(call, final=True, values=self.unrounded)
        elif role == _roles.WEIGHT_QUANTIZED:
            self._weight_quantized(call)
        elif role == _roles.ACTIVATION:
            self._activation(call)
        elif role == _roles.PASS_THROUGH:
            self._passthrough(call)
        elif role == _roles.CUSTOM:
            self._custom(call)
        elif role == _roles.LOOKUP:
            # What an Embedding returns are its rounded weights: they need no range.
            [output] = call.outputs
            layer = self._quantized_layer(call)
            self.values[output] = self._call(layer, call, self.unrounded)
            self.quantized.add(output)
        else:
            self._plain_operation(call, role)

    def _plain_operation(self, call, role):
        """Additions, poolings, ...: inputs and outputs of 8 bits."""
        # A Concatenate rounds its output only: its inputs then share that range.
        if role != _roles.CONCAT:
            self._ensure_inputs_quantized(call)
        if role == _roles.AFFINE:
            layer = self._copy_once(call.operation, lambda: self._affine(call))
            call.kwargs.pop("training", None)  # the layer knows
            self.values[call.outputs[0]] = self._call(layer, call)
        else:
            self._copy_call(call)
        if _custom_layers.quantizes_outputs(call.operation):
            for output in call.outputs:
                self._quantize_output(output, call.operation.name)

    def _passthrough(self, call):
        """Outputs are values of the inputs and have their range."""
        are_quantized = all(tensor in self.quantized for tensor in call.inputs)
        self._copy_call(call, final=True)
        if are_quantized:
            self.quantized.update(call.outputs)

    def _custom(self, call):
        """A `QuantizeWrapper` says itself whether it quantizes outputs."""
        self._ensure_inputs_quantized(call)
        self._copy_call(call, final=True)
        if call.operation.quantizes_outputs:
            self.quantized.update(call.outputs)

    def _weight_quantized(self, call):
        self._ensure_inputs_quantized(call)
        batch_norm = self.folds.get(call)
        outputs = (batch_norm or call).outputs
        results = keras.tree.flatten(self._call(self._quantized_layer(call), call))
        for output, value in zip(outputs, results, strict=True):
            self.values[output] = value
        activation = getattr(call.operation, "activation", None)
        if not _roles.is_container(call.operation) and not is_linear(activation):
            [output] = outputs
            self._separate_activation(activation, output, call)
            return
        if self._is_unfused(call):
            self._insert_range(outputs[0], call.operation.name, final=True)
        if not _custom_layers.quantizes_outputs(call.operation):
            return
        for output in outputs:
            if output not in self.quantized:
                self._quantize_output(output, call.operation.name)

    def _is_unfused(self, call):
        """Whether LiteRT does not fuse a ReLU into the layer of a call.

        Its transposed convolution has a fused ReLU only together with a bias.
        """
        layer = call.operation
        transposed = isinstance(layer, _LAYERS.Conv2DTranspose)
        return transposed and not layer.use_bias and call not in self.folds

    def _separate_activation(self, activation, output, call):
        """An activation that was an argument of a layer, as a layer of its own."""
        kind = _roles.activation_kind(activation)
        is_final = kind == _roles.FIXED_RANGE
        name = call.operation.name
        if kind != _roles.FUSED or self._is_unfused(call):
            self._insert_range(output, f"{name}_linear")
        if isinstance(activation, keras.layers.Layer):
            layer = self._copy_operation(activation, output, is_final)
        else:
            activation = _roles.canonical_activation(activation)
            label = f"{name}_{activation.__name__}"
            label = self._layer_name(label, output if is_final else None)
            layer = _LAYERS.Activation(activation, name=label)
        self.values[output] = layer(self.values[output])
        self.quantized.discard(output)
        self._after_activation(kind, output, name)

    def _activation(self, call):
        kind = _roles.activation_kind(call.operation)
        if kind != _roles.FUSED:
            self._ensure_inputs_quantized(call)
        self._copy_call(call, final=kind == _roles.FIXED_RANGE)
        [output] = call.outputs
        self._after_activation(kind, output, call.operation.name)

    def _after_activation(self, kind, output, name):
        # LiteRT fixes the output range of softmax, sigmoid and tanh.
        if kind == _roles.FIXED_RANGE:
            self.quantized.add(output)
        else:
            self._quantize_output(output, name)

    # Ranges.

    def _quantize_output(self, output, name):
        """Gives an output its range, unless the next operation does."""
        consumers = output.consumers
        if not output.is_output and consumers:
            if len(consumers) == 1 and self._is_fused_activation(consumers[0]):
                return
            if all(self.roles[consumer] == _roles.CONCAT for consumer in consumers):
                return
        self._insert_range(output, name, final=True)

    def _is_fused_activation(self, call):
        if self.roles[call] != _roles.ACTIVATION:
            return False
        return _roles.activation_kind(call.operation) == _roles.FUSED

    def _ensure_inputs_quantized(self, call):
        for tensor in call.inputs:
            self._ensure_quantized(tensor, call.operation.name + "_input")

    def _ensure_quantized(self, tensor, name):
        if tensor not in self.quantized:
            self._insert_range(tensor, name)

    def _insert_range(self, tensor, name, final=False):
        """Puts a `FakeQuantize` layer after a tensor of floats."""
        value = self.values[tensor]
        if not keras.backend.is_float_dtype(value.dtype):
            return
        name = self._layer_name(f"{name}_range", tensor if final else None)
        layer = FakeQuantize(self.momentum, name=name, dtype="float32")
        self.values[tensor] = layer(value)
        self.quantized.add(tensor)

    # Copies of layers, and their calls.

    def _copy_call(self, call, final=False, values=None):
        """Calls a copy of the operation; `final` if nothing follows the copy."""

        def make():
            return self._copy_operation(call.operation, call.outputs[0], final)

        copy = self._copy_once(call.operation, make)
        results = keras.tree.flatten(self._call(copy, call, values))
        for output, value in zip(call.outputs, results, strict=True):
            self.values[output] = value

    def _call(self, layer, call, values=None):
        """Calls a layer with the arguments of a call."""
        args, kwargs = substitute(
            (call.args, call.kwargs), {**self.values, **(values or {})}
        )
        return layer(*args, **kwargs)

    def _copy_once(self, operation, make):
        """The copy of a layer; one for all calls of a layer that is shared."""
        if id(operation) not in self.copies:
            self.copies[id(operation)] = make()
        return self.copies[id(operation)]

    def _copy_operation(self, operation, output, final=False):
        changes = {}
        if "name" in operation.get_config():
            name = self._layer_name(operation.name, output if final else None)
            changes["name"] = name
        if isinstance(operation, _LAYERS.Activation):
            changes["activation"] = keras.activations.serialize(
                _roles.canonical_activation(operation.activation)
            )
        copy = clone_layer(operation, **changes)
        if isinstance(operation, keras.layers.Layer):
            self.pairs.append((operation, copy))
        return copy

    def _quantized_layer(self, call):
        return self._copy_once(call.operation, lambda: self._wrap(call))

    def _wrap(self, call):
        """The layer of a call in a layer that rounds its weights."""
        layer, kind = call.operation, _weight_layers.QuantizedLayer
        if isinstance(layer, _LAYERS.MultiHeadAttention):
            kind = _weight_layers.QuantizedAttention
        elif _roles.is_container(layer) and not _custom_layers.has_config(layer):
            kind = _weight_layers.QuantizedRecurrent
        changes = {}
        if not _roles.is_container(layer) and hasattr(layer, "activation"):
            changes["activation"] = "linear"
        name = self._layer_name(call.operation.name)
        inner = self._inner_copy(layer, **changes)
        batch_norm = self.folds.get(call)
        if batch_norm is not None:
            # Dense sees its inputs in two dimensions.
            axis = -1 if isinstance(layer, _LAYERS.Dense) else batch_norm.operation.axis
            batch_norm = self._inner_copy(batch_norm.operation, axis=axis)
        return kind(
            inner,
            batch_norm=batch_norm,
            bits=self.bits(call.path),
            per_channel=self.per_channel,
            batch_statistics=uses_batch_statistics(self.folds.get(call)),
            name=name,
            dtype="float32",
        )

    def _inner_copy(self, layer, **changes):
        copy = clone_layer(layer, **changes)
        self.pairs.append((layer, copy))
        return copy

    def _affine(self, call):
        layer = self._inner_copy(call.operation)
        return QuantizedAffine(
            layer,
            self.momentum,
            batch_statistics=uses_batch_statistics(call),
            name=self._layer_name(call.operation.name),
            dtype="float32",
        )

    # Names.

    def _layer_name(self, name, output=None):
        """A unique name; that of the output for the last layer before an output."""
        if output in self.output_names:
            name = self.output_names[output]
            self.names.add(name)
            return name
        base, number = name, 1
        if name in self.output_names.values():
            name = base = f"{name}_linear"
        while name in self.names:
            name = f"{base}_{number}"
            number += 1
        self.names.add(name)
        return name


def _copy_weights(layer, copy):
    """Gives a copy the weights of its layer, and its `trainable`."""
    copy.set_weights(layer.get_weights())
    copy.trainable = layer.trainable
