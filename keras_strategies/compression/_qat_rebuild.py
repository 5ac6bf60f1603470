"""From a graph of calls to a model that simulates integers."""

import keras

from keras_strategies._internal.model_graph import clone_layer, substitute
from keras_strategies.compression import _qat_roles, _qat_weights
from keras_strategies.compression._qat_layers import FakeQuantize, QuantizedAffine

_LAYERS = keras.layers
_AS_GIVEN = (_qat_roles.FLOAT, _qat_roles.SCALED)


class Rebuild:
    """Calls copies of the layers again, with ranges in between.

    Args:
        graph: A `model_graph.Graph` without entries.
        roles: `{call: role}`.
        bits: Function of a path: bits of its weights.
        per_channel: Whether convolutions have a range for each output channel.
        momentum: Of the moving averages.
        may_fold: Function of a layer: whether it may take BatchNormalization in.
    """

    def __init__(self, graph, roles, bits, per_channel, momentum, may_fold):
        self.graph = graph
        self.roles = roles
        self.bits = bits
        self.per_channel = per_channel
        self.momentum = momentum
        self.tensors = {}  # slot -> tensor
        self.exact = {}  # inputs as given: indices must not be rounded
        self.quantized = set()  # slots whose values are those of 8 bits
        self.copies = {}
        self.pairs = []  # (layer, its copy), to take over the weights
        self.names = set()
        self.folds = _folds(graph, roles, may_fold)
        self.folded = set(self.folds.values())
        self.final = {}  # output slot -> its name, which losses may be given by
        self.reserved = set()

    def run(self, model):
        """Returns the inputs and outputs of the new model, structured as before."""
        self._keep_output_names(model)
        inputs = []
        for slot, tensor in zip(self.graph.inputs, model.inputs, strict=True):
            self.names.add(tensor.name)
            new = keras.Input(
                batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor.name
            )
            inputs.append(new)
            self.tensors[slot] = self.exact[slot] = new
            if any(self.roles[user] not in _AS_GIVEN for user in slot.consumers):
                name = tensor.name
                self._require(slot, "input" if name.startswith("keras_t") else name)
        for call in self.graph.calls:
            if call not in self.folded:
                self._emit(call)
        outputs = [self._output(slot) for slot in self.graph.outputs]
        for layer, copy in self.pairs:
            _take_over(layer, copy)
        if isinstance(model, keras.Sequential):
            return inputs[0], outputs[0]
        pack = keras.tree.pack_sequence_as
        return pack(model.input, inputs), pack(model.output, outputs)

    def _keep_output_names(self, model):
        if isinstance(model, keras.Sequential):
            return
        names = dict(zip(self.graph.outputs, model.output_names, strict=True))
        if len(set(names.values())) == len(model.output_names):
            self.final = names
            self.reserved = set(names.values())

    def _output(self, slot):
        tensor, name = self.tensors[slot], self.final.get(slot)
        if name is None or name in self.names:
            return tensor
        return _LAYERS.Identity(name=self._last_name(slot, name, True))(tensor)

    def _emit(self, call):
        role = self.roles[call]
        if role == _qat_roles.FLOAT:
            return self._plain(call, True, self.exact)
        if role == _qat_roles.WEIGHTED:
            return self._weighted(call)
        if role == _qat_roles.ACTIVATION:
            return self._activation(call)
        if role == _qat_roles.SAME:
            known = all(slot in self.quantized for slot in call.inputs)
            self._plain(call, last=True)
            if known:
                self.quantized.update(call.outputs)
            return None
        if role == _qat_roles.CUSTOM:
            self._require_all(call)
            self._plain(call, last=True)
            if call.operation.quantizes_outputs:
                self.quantized.update(call.outputs)
            return None
        if role == _qat_roles.SCALED:
            [slot] = call.outputs
            self.tensors[slot] = self._called(self._wrapped(call), call, self.exact)
            self.quantized.add(slot)
            return None
        if role != _qat_roles.CONCAT:
            self._require_all(call)
        if role == _qat_roles.AFFINE:
            layer = self._once(call.operation, lambda: self._affine(call))
            call.kwargs.pop("training", None)  # the layer knows
            self.tensors[call.outputs[0]] = self._called(layer, call)
        else:
            self._plain(call)
        for slot in call.outputs:
            self._finish(slot, call.operation.name)
        return None

    def _weighted(self, call):
        self._require_all(call)
        batch_norm = self.folds.get(call)
        slots = (batch_norm or call).outputs
        made = keras.tree.flatten(self._called(self._wrapped(call), call))
        for slot, tensor in zip(slots, made, strict=True):
            self.tensors[slot] = tensor
        activation = getattr(call.operation, "activation", None)
        if _qat_roles.is_container(call.operation) or _is_linear(activation):
            if self._stands_alone(call):
                self._insert(slots[0], call.operation.name, last=True)
            for slot in [slot for slot in slots if slot not in self.quantized]:
                self._finish(slot, call.operation.name)
            return
        [slot] = slots
        self._apply(activation, slot, call)

    def _stands_alone(self, call):
        """Transposed convolution takes a relu in through its bias only."""
        layer = call.operation
        transposed = isinstance(layer, _LAYERS.Conv2DTranspose)
        return transposed and not layer.use_bias and call not in self.folds

    def _apply(self, activation, slot, call):
        """An activation that was an argument of a layer, as a layer of its own."""
        kind = _qat_roles.activation_kind(activation)
        name = call.operation.name
        if kind != _qat_roles.FUSED or self._stands_alone(call):
            self._insert(slot, f"{name}_linear")
        if isinstance(activation, keras.layers.Layer):
            layer = self._copy(activation, slot, kind == _qat_roles.FIXED)
        else:
            label = f"{name}_{activation.__name__}"
            label = self._last_name(slot, label, kind == _qat_roles.FIXED)
            layer = _LAYERS.Activation(activation, name=label)
        self.tensors[slot] = layer(self.tensors[slot])
        self.quantized.discard(slot)
        if kind == _qat_roles.FIXED:
            self.quantized.add(slot)
        else:
            self._finish(slot, name)

    def _activation(self, call):
        kind = _qat_roles.activation_kind(call.operation)
        if kind != _qat_roles.FUSED:
            self._require_all(call)
        self._plain(call, last=kind == _qat_roles.FIXED)
        [slot] = call.outputs
        if kind == _qat_roles.FIXED:
            self.quantized.add(slot)
        else:
            self._finish(slot, call.operation.name)

    def _plain(self, call, last=False, tensors=None):
        def make():
            return self._copy(call.operation, call.outputs[0], last)

        copy = self._once(call.operation, make)
        made = keras.tree.flatten(self._called(copy, call, tensors))
        for slot, tensor in zip(call.outputs, made, strict=True):
            self.tensors[slot] = tensor

    def _called(self, layer, call, tensors=None):
        tensors = {**self.tensors, **(tensors or {})}
        args, kwargs = substitute((call.args, call.kwargs), tensors)
        return layer(*args, **kwargs)

    def _finish(self, slot, name):
        """Gives an output its range, unless the next operation does."""
        users = slot.consumers
        if not slot.is_output and users:
            if len(users) == 1 and self._takes_in(users[0]):
                return
            if all(self.roles[user] == _qat_roles.CONCAT for user in users):
                return
        self._insert(slot, name, last=True)

    def _takes_in(self, user):
        if self.roles[user] != _qat_roles.ACTIVATION:
            return False
        return _qat_roles.activation_kind(user.operation) == _qat_roles.FUSED

    def _require_all(self, call):
        for slot in call.inputs:
            self._require(slot, call.operation.name + "_input")

    def _require(self, slot, name):
        if slot not in self.quantized:
            self._insert(slot, name)

    def _insert(self, slot, name, last=False):
        tensor = self.tensors[slot]
        if not keras.backend.is_float_dtype(tensor.dtype):
            return
        name = self._last_name(slot, f"{name}_range", last)
        layer = FakeQuantize(self.momentum, name=name, dtype="float32")
        self.tensors[slot] = layer(tensor)
        self.quantized.add(slot)

    def _once(self, operation, make):
        """The copy of a layer; one for all calls of a layer that is shared."""
        if id(operation) not in self.copies:
            self.copies[id(operation)] = make()
        return self.copies[id(operation)]

    def _copy(self, operation, slot, last=False):
        changes = {}
        if "name" in operation.get_config():
            changes["name"] = self._last_name(slot, operation.name, last)
        copy = clone_layer(operation, **changes)
        if isinstance(operation, keras.layers.Layer):
            self.pairs.append((operation, copy))
        return copy

    def _wrapped(self, call):
        return self._once(call.operation, lambda: self._wrap(call))

    def _wrap(self, call):
        layer = call.operation
        kind = _qat_weights.QuantizedLayer
        if isinstance(layer, _LAYERS.MultiHeadAttention):
            kind = _qat_weights.QuantizedAttention
        elif _qat_roles.is_container(layer):
            kind = _qat_weights.QuantizedRecurrent
        changes = {}
        if not _qat_roles.is_container(layer) and hasattr(layer, "activation"):
            changes["activation"] = "linear"
        name = self._unique(call.operation.name)
        inner = self._inner(layer, **changes)
        batch_norm = self.folds.get(call)
        if batch_norm is not None:
            # Dense sees its inputs in two dimensions.
            axis = -1 if isinstance(layer, _LAYERS.Dense) else batch_norm.operation.axis
            batch_norm = self._inner(batch_norm.operation, axis=axis)
        return kind(
            inner,
            batch_norm=batch_norm,
            bits=self.bits(call.path),
            per_channel=self.per_channel,
            batch_statistics=_batch_statistics(self.folds.get(call)),
            name=name,
            dtype="float32",
        )

    def _inner(self, layer, **changes):
        copy = clone_layer(layer, **changes)
        self.pairs.append((layer, copy))
        return copy

    def _affine(self, call):
        layer = self._inner(call.operation)
        name = self._unique(call.operation.name)
        return QuantizedAffine(
            layer,
            self.momentum,
            batch_statistics=_batch_statistics(call),
            name=name,
            dtype="float32",
        )

    def _last_name(self, slot, name, last):
        """The name of a layer after a call: that of the call if it makes an output."""
        if last and slot in self.final:
            self.names.add(self.final[slot])
            return self.final[slot]
        return self._unique(name)

    def _unique(self, name):
        base, number = name, 1
        if name in self.reserved:
            name = base = f"{name}_linear"
        while name in self.names:
            name = f"{base}_{number}"
            number += 1
        self.names.add(name)
        return name


def _is_linear(activation):
    return activation is None or activation is keras.activations.linear


def _batch_statistics(call):
    """Whether the model does not call BatchNormalization with `training=False`."""
    return call is None or call.kwargs.get("training") is not False


def _folds(graph, roles, may_fold):
    """`{call of a layer: call of the BatchNormalization that it takes in}`."""
    folds = {}
    calls_of = {}
    for call in graph.calls:
        calls_of.setdefault(id(call.operation), []).append(call)
    for call in graph.calls:
        if roles[call] != _qat_roles.WEIGHTED or not _can_fold(call.operation):
            continue
        if not may_fold(call.operation):
            continue
        [slot] = call.outputs
        if slot.is_output or len(slot.consumers) != 1:
            continue
        [user] = slot.consumers
        if "mask" in user.kwargs:
            continue
        norm = user.operation
        alone = len(calls_of[id(norm)]) == len(calls_of[id(call.operation)]) == 1
        if roles[user] == _qat_roles.AFFINE and alone and _fits(call.operation, norm):
            folds[call] = user
    return folds


def _can_fold(layer):
    kinds = (
        _LAYERS.Dense,
        _LAYERS.Conv1D,
        _LAYERS.Conv2D,
        _LAYERS.DepthwiseConv1D,
        _LAYERS.DepthwiseConv2D,
        _LAYERS.Conv2DTranspose,
    )
    return isinstance(layer, kinds) and _is_linear(layer.activation)


def _fits(layer, norm):
    if not isinstance(norm, _LAYERS.BatchNormalization):
        return False
    first = getattr(layer, "data_format", "channels_last") == "channels_first"
    rank = norm.input_spec.ndim
    return norm.axis % rank == (1 if first else rank - 1)


def _take_over(layer, copy):
    """Gives a copy the weights of its layer, and what of it is frozen."""
    copy.set_weights(layer.get_weights())
    copy.trainable = layer.trainable
