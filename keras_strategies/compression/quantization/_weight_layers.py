"""Layers whose weights are rounded to few bits in the forward pass."""

import inspect

import keras
from keras import ops

from keras_strategies._internal import keras_private
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.walking import all_layers
from keras_strategies.compression.quantization import (
    _activation_layers,
    _fake_quantization,
)
from keras_strategies.compression.quantization._preserve_constraint import (
    PreserveConstraint,
)

_LAYERS = keras.layers

# Layer class -> (weight, axes of its output channels, whether the converter to
# .tflite takes a range for each channel).
WEIGHTS = (
    ((_LAYERS.Dense, _LAYERS.EinsumDense), "kernel", (-1,), False),
    (_LAYERS.DepthwiseConv2D, "kernel", (-2, -1), True),
    (_LAYERS.DepthwiseConv1D, "kernel", (-2, -1), False),
    (_LAYERS.Conv2DTranspose, "kernel", (-2,), False),
    (_LAYERS.Conv2D, "kernel", (-1,), True),
    (_LAYERS.Conv1D, "kernel", (-1,), False),
    (_LAYERS.Embedding, "embeddings", (), False),
    (
        (_LAYERS.LSTMCell, _LAYERS.GRUCell, _LAYERS.SimpleRNNCell),
        ("kernel", "recurrent_kernel"),
        (),
        False,
    ),
)


def weights_of(layer):
    """`[(variable, output axes, per channel)]` of a layer and the layers inside."""
    found = []
    for inner in [layer, *all_layers(layer)]:
        for kinds, names, channels, separate in WEIGHTS:
            if isinstance(inner, kinds):
                names = (names,) if isinstance(names, str) else names
                found += [(getattr(inner, name), channels, separate) for name in names]
                break
    return found


def by_channel(layer):
    """Whether the kernel of a layer may have a range for each channel."""
    return all(separate for _, _, separate in weights_of(layer))


@serializable
class QuantizedLayer(keras.layers.Layer):
    """Calls a layer with its kernels rounded, and BatchNormalization folded in.

    With `batch_norm`, what is rounded is `kernel * s`, where `s = gamma /
    sqrt(moving variance + epsilon)`: the kernel that is deployed. In training the
    layer runs with the rounded kernel over `s` and is normalized by the batch, so
    that the statistics are those of the float model. `batch_statistics=False` is for
    a model that calls its BatchNormalization with `training=False`.

    `preserved` is what is kept of the weights of `weights_of(layer)`, a plan of
    `_preserve.found` or `None` for each; `preserving` whether training still does.
    """

    def __init__(
        self,
        layer,
        batch_norm=None,
        bits=8,
        per_channel=True,
        batch_statistics=True,
        preserved=None,
        preserving=True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.layer = _layer(layer)
        self.batch_norm = _layer(batch_norm)
        self.bits = bits
        self.per_channel = per_channel
        self.batch_statistics = batch_statistics
        self.preserved = preserved
        self.preserving = preserving
        self._held = []
        self.supports_masking = True

    def build(self, input_shape):
        self._build_inner(input_shape)
        if self.batch_norm is not None and not self.batch_norm.built:
            if isinstance(self.layer, _LAYERS.Dense):
                input_shape = (None, input_shape[-1])
            self.batch_norm.build(self.layer.compute_output_shape(input_shape))

    def call(self, inputs, training=None):
        if not isinstance(self.layer, _LAYERS.Dense) or len(inputs.shape) == 2:
            return self._call_inner(training, inputs)
        # The converter to .tflite makes one integer operation of a plain product.
        features = inputs.shape[-1]
        outputs = self._call_inner(training, ops.reshape(inputs, (-1, features)))
        return ops.reshape(outputs, (*ops.shape(inputs)[:-1], outputs.shape[-1]))

    def compute_mask(self, inputs, mask=None):
        return self.layer.compute_mask(inputs, mask)

    def compute_output_shape(self, input_shape):
        return self.layer.compute_output_shape(input_shape)

    def get_config(self):
        save = keras.saving.serialize_keras_object
        config = {
            "layer": save(self.layer),
            "batch_norm": None if self.batch_norm is None else save(self.batch_norm),
            "bits": self.bits,
            "per_channel": self.per_channel,
            "batch_statistics": self.batch_statistics,
            "preserved": self.preserved,
            "preserving": self.preserving,
        }
        return super().get_config() | config

    def preserve(self, plans, model=None):
        """Keeps zeros and shared values from now on, as the plans say."""
        self.preserved, self.preserving = plans, True
        for (weight, *_), plan in zip(weights_of(self.layer), plans, strict=True):
            if plan is not None:
                held = PreserveConstraint(model or self, weight, plan, self._release)
                held.attach(weight)
                self._held.append(held)

    def _release(self):
        self.preserving = False
        self._held.clear()

    @property
    def simulated_quantization(self):
        return {"kind": "weights", "name": self.name, "bits": self.bits, "range": None}

    def _build_inner(self, *shapes):
        if not self.layer.built:
            self.layer.build(*shapes)
        if self.preserved is not None and self.preserving:
            self.preserve(self.preserved)

    def _call_inner(self, training, *args, **kwargs):
        if self._held:
            self._tell_model()
        if self.batch_norm is None:
            rounded = [
                (entry[0], self._rounded(number, *entry, training))
                for number, entry in enumerate(weights_of(self.layer))
            ]
            return self._stateless(rounded, training, args, kwargs)
        [(kernel, channels, separate)] = weights_of(self.layer)
        shape = [1] * len(kernel.shape)
        for axis in channels:
            shape[axis] = kernel.shape[axis]
        scale, offset = _activation_layers.batch_norm_affine(self.batch_norm)
        spread = ops.reshape(scale, shape)
        frozen = not _activation_layers.trains_statistics(self.batch_norm)
        if not training or frozen or not self.batch_statistics:
            common = self._common(0, kernel, spread)
            folded = self._round(kernel * spread, channels, separate, training, common)
            rounded = [(kernel, folded)]
            if self.layer.use_bias:
                bias = self.layer.bias
                rounded.append((bias, bias * scale + offset))
                return self._stateless(rounded, training, args, kwargs)
            return self._stateless(rounded, training, args, kwargs) + offset
        # A channel that gamma switches off has nothing to round by.
        spread = ops.stop_gradient(ops.where(ops.abs(spread) > 1e-12, spread, 1.0))
        common = self._common(0, kernel, spread)
        folded = self._round(kernel * spread, channels, separate, training, common)
        outputs = self._stateless([(kernel, folded / spread)], training, args, kwargs)
        return self.batch_norm(outputs, training=training)

    def _tell_model(self):
        """Loaded with its layer, a constraint does not know its model yet."""
        model = keras_private.outermost(self)
        if getattr(model, "optimizer", None) is not None:
            for held in self._held:
                held.belong_to(model)

    def _rounded(self, number, weight, channels, separate, training):
        common = self._common(number, weight, 1.0)
        weight = ops.convert_to_tensor(weight)
        return self._round(weight, channels, separate, training, common)

    def _common(self, number, kernel, spread):
        """The limits that give all channels the same integers for shared values.

        Each channel's own largest weight would make `n` shared values `n` different
        integers in every channel.
        """
        plan = self.preserved and self.preserved[number]
        if not plan or plan["positions"] is None or plan["axis"] is not None:
            return None
        return ops.max(ops.abs(kernel)) * ops.abs(spread)

    def _round(self, values, channels, separate, training, common=None):
        channels = channels if separate and self.per_channel else ()
        given = (values, channels, self.bits)
        if channels and common is not None:
            given += (_fake_quantization.weight_limit(values, channels, common),)
        if training:
            return _fake_quantization.fake_quantize_weights(*given)
        return _fake_quantization.deployed_weights(*given)

    def _stateless(self, replaced, training, args, kwargs):
        """Calls the layer with other values for some of its weights."""
        layer = self.layer
        values = {id(variable): value for variable, value in replaced}
        trainable = [_value(v, values) for v in layer.trainable_variables]
        others = layer.non_trainable_variables
        before = [_value(v, values) for v in others]
        if "training" in inspect.signature(layer.call).parameters:
            kwargs = kwargs | {"training": training}
        outputs, after = layer.stateless_call(trainable, before, *args, **kwargs)
        for variable, old, new in zip(others, before, after, strict=True):
            if new is not None and new is not old:
                variable.assign(new)
        return outputs


@serializable
class QuantizedRecurrent(QuantizedLayer):
    """`QuantizedLayer` for LSTM, GRU, SimpleRNN and Bidirectional."""

    def build(self, sequences_shape, initial_state_shape=None):
        self._build_inner(sequences_shape)

    def call(self, sequences, initial_state=None, mask=None, training=None):
        given = {"initial_state": initial_state, "mask": mask}
        given = {name: value for name, value in given.items() if value is not None}
        return self._call_inner(training, sequences, **given)

    def compute_mask(self, sequences, mask=None):
        return self.layer.compute_mask(sequences, mask)

    def compute_output_shape(self, sequences_shape, initial_state_shape=None):
        return self.layer.compute_output_shape(sequences_shape, initial_state_shape)


@serializable
class QuantizedAttention(QuantizedLayer):
    """`QuantizedLayer` for MultiHeadAttention."""

    def build(self, query_shape, value_shape, key_shape=None):
        self._build_inner(query_shape, value_shape, key_shape)

    def call(
        self,
        query,
        value,
        key=None,
        query_mask=None,
        value_mask=None,
        key_mask=None,
        attention_mask=None,
        return_attention_scores=False,
        training=None,
        use_causal_mask=False,
    ):
        return self._call_inner(
            training,
            query,
            value,
            key=key,
            query_mask=query_mask,
            value_mask=value_mask,
            key_mask=key_mask,
            attention_mask=attention_mask,
            return_attention_scores=return_attention_scores,
            use_causal_mask=use_causal_mask,
        )

    def compute_mask(self, query, mask=None):
        return None

    def compute_output_spec(self, *args, **kwargs):
        return self.layer.compute_output_spec(*args, **kwargs)


def _layer(value):
    if isinstance(value, dict):
        return keras.saving.deserialize_keras_object(value)
    return value


def _value(variable, values):
    if id(variable) in values:
        return values[id(variable)]
    return ops.convert_to_tensor(variable)
