"""Layers whose weights are rounded to few bits in the forward pass."""

import functools
import inspect
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_strategies._internal import bases, keras_private
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.traversal import all_layers
from keras_strategies._internal.wrapping import deserialized
from keras_strategies.compression.preservation._preserve_constraint import (
    PreserveConstraint,
)
from keras_strategies.compression.quantization import (
    _activation_layers,
    _custom_layers,
    _fake_quantization,
)

_LAYERS = keras.layers

# Layer class -> (weight, axes of its output channels, whether the converter to
# .tflite accepts a range for each channel).
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


def weights_of(layer: Any) -> list[tuple[Any, tuple[int, ...], bool]]:
    """`[(variable, output axes, per channel)]` of a layer and the layers inside."""
    if _custom_layers.has_config(layer):
        return [(weight, (), False) for weight in _custom_layers.named_weights(layer)]
    weights: list[tuple[Any, tuple[int, ...], bool]] = []
    for inner in [layer, *all_layers(layer)]:
        for kinds, names, channels, per_channel in WEIGHTS:
            if isinstance(inner, kinds):
                names = (names,) if isinstance(names, str) else names
                weights += [
                    (getattr(inner, name), channels, per_channel) for name in names
                ]
                break
    return weights


def supports_per_channel(layer: Any) -> bool:
    """Whether the kernel of a layer may have a range for each channel."""
    return all(per_channel for _, _, per_channel in weights_of(layer))


@serializable
class QuantizedLayer(bases.Layer):
    """Calls a layer with its kernels rounded, and BatchNormalization folded in.

    With `batch_norm`, what is rounded is `kernel * s`, where `s = gamma /
    sqrt(moving variance + epsilon)`: the kernel that is deployed. In training the
    layer runs with the rounded kernel divided by `s` and is normalized by the batch,
    so that the statistics are those of the float model.

    Reference: Krishnamoorthi, "Quantizing deep convolutional networks for efficient
    inference" (2018), https://arxiv.org/abs/1806.08342.

    Args:
        layer: The layer, or its config.
        batch_norm: The BatchNormalization to fold in, its config, or `None`.
        bits: Bits of the weights, from 2 to 8. Defaults to 8.
        per_channel: Whether output channels have ranges of their own, where the
            converter accepts them. Defaults to `True`.
        batch_statistics: Whether BatchNormalization uses those of the batch in
            training: not in a model that calls it with `training=False`.
        preserved: What is preserved of each weight of `weights_of(layer)`, a plan of
            `preservation_plan` or `None`. Defaults to `None`.
        preserving: Whether training still preserves it. Defaults to `True`.
        **kwargs: As for `keras.layers.Layer`.
    """

    def __init__(
        self,
        layer: Any,
        batch_norm: Any = None,
        bits: int = 8,
        per_channel: bool = True,
        batch_statistics: bool = True,
        preserved: Sequence[dict[str, Any] | None] | None = None,
        preserving: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.layer = deserialized(layer)
        self.batch_norm = deserialized(batch_norm)
        # `model.quantize` calls this of the innermost layers.
        for part in (self.layer, *all_layers(self.layer)):
            part.quantize = functools.partial(
                _fake_quantization.refuse_quantize, part.name
            )
        self.bits = bits
        self.per_channel = per_channel
        self.batch_statistics = batch_statistics
        self.preserved = preserved
        self.preserving = preserving
        self._constraints: list[PreserveConstraint] = []
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        self._build_inner(input_shape)
        if self.batch_norm is not None and not self.batch_norm.built:
            # Dense is called on two dimensions, see `call`.
            if isinstance(self.layer, _LAYERS.Dense):
                input_shape = (None, input_shape[-1])
            self.batch_norm.build(self.layer.compute_output_shape(input_shape))

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if not isinstance(self.layer, _LAYERS.Dense) or len(inputs.shape) == 2:
            return self._call_inner(training, inputs)
        # The converter to .tflite makes one integer operation of a plain product.
        features = inputs.shape[-1]
        outputs = self._call_inner(training, ops.reshape(inputs, (-1, features)))
        return ops.reshape(outputs, (*ops.shape(inputs)[:-1], outputs.shape[-1]))

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return self.layer.compute_mask(inputs, mask)

    def compute_output_shape(self, input_shape: Any) -> Any:
        own = type(self.layer).compute_output_shape
        if own is not _LAYERS.Layer.compute_output_shape:
            return self.layer.compute_output_shape(input_shape)
        # A custom layer may leave its shape to be told by its call.
        inputs = keras.KerasTensor(input_shape, self.compute_dtype)
        return self.layer.compute_output_spec(inputs).shape

    def get_config(self) -> dict[str, Any]:
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

    def preserve(
        self,
        plans: Sequence[dict[str, Any] | None],
        model: keras.Model | None = None,
    ) -> None:
        """Preserves zeros and shared values from now on, as the plans say."""
        self.preserved, self.preserving = plans, True
        for (weight, *_), plan in zip(weights_of(self.layer), plans, strict=True):
            if plan is not None:
                constraint = PreserveConstraint(
                    model or self, weight, plan, self._stop_preserving
                )
                constraint.attach(weight)
                self._constraints.append(constraint)

    def _stop_preserving(self):
        self.preserving = False
        self._constraints.clear()

    @property
    def simulated_quantization(self) -> dict[str, Any]:
        """The description that `_internal.quantized` reads."""
        return {"kind": "weights", "name": self.name, "bits": self.bits, "range": None}

    def _build_inner(self, *shapes):
        if not self.layer.built:
            self.layer.build(*shapes)
        # Loaded from a file: constraints are not saved, but the plans are.
        if self.preserved is not None and self.preserving:
            self.preserve(self.preserved)

    def _call_inner(self, training, *args, **kwargs):
        if self._constraints:
            self._tell_model()
        if self.batch_norm is not None:
            return self._call_folded(training, args, kwargs)
        rounded = []
        for number, (weight, channels, per_channel) in enumerate(
            weights_of(self.layer)
        ):
            value = ops.convert_to_tensor(weight)
            limit = self._shared_limit(number, weight, 1.0)
            value = self._round(value, channels, per_channel, training, limit)
            rounded.append((weight, value))
        return self._call_with(rounded, training, args, kwargs)

    def _call_folded(self, training, args, kwargs):
        """Calls the layer with BatchNormalization folded into its kernel."""
        [(kernel, channels, per_channel)] = weights_of(self.layer)
        # `s` as a tensor that broadcasts against the kernel.
        shape = [1] * len(kernel.shape)
        for axis in channels:
            shape[axis] = kernel.shape[axis]
        scale, offset = _activation_layers.batch_norm_affine(self.batch_norm)
        kernel_scale = ops.reshape(scale, shape)
        uses_batch = _activation_layers.trains_statistics(self.batch_norm)
        if training and uses_batch and self.batch_statistics:
            return self._train_folded(
                kernel, channels, per_channel, kernel_scale, args, kwargs
            )
        # At inference: one layer with the kernel `s w` and the bias `s b + offset`.
        limit = self._shared_limit(0, kernel, kernel_scale)
        folded = self._round(
            kernel * kernel_scale, channels, per_channel, training, limit
        )
        rounded = [(kernel, folded)]
        if self.layer.use_bias:
            bias = self.layer.bias
            rounded.append((bias, bias * scale + offset))
            return self._call_with(rounded, training, args, kwargs)
        return self._call_with(rounded, training, args, kwargs) + offset

    def _train_folded(self, kernel, channels, per_channel, scale, args, kwargs):
        """Rounds `s w` by the moving statistics, and normalizes by the batch.

        Dividing the rounded kernel by `s` gives the layer outputs of the scale that
        BatchNormalization expects, so that its moving statistics stay those of the
        float model, while rounding errors are those of the deployed kernel.
        """
        # A channel that gamma switches off has no scale to round by.
        scale = ops.stop_gradient(ops.where(ops.abs(scale) > 1e-12, scale, 1.0))
        limit = self._shared_limit(0, kernel, scale)
        folded = self._round(kernel * scale, channels, per_channel, True, limit)
        outputs = self._call_with([(kernel, folded / scale)], True, args, kwargs)
        return self.batch_norm(outputs, training=True)

    def _tell_model(self):
        """Loaded with its layer, a constraint does not know its model yet."""
        model = keras_private.outermost(self)
        if getattr(model, "optimizer", None) is not None:
            for constraint in self._constraints:
                constraint.belong_to(model)

    def _shared_limit(self, number, kernel, scale):
        """The limits that give all channels the same integers for shared values.

        Each channel's own largest weight would make `n` shared values `n` different
        integers in every channel.
        """
        plan = self.preserved and self.preserved[number]
        if not plan or plan["positions"] is None or plan["axis"] is not None:
            return None
        return ops.max(ops.abs(kernel)) * ops.abs(scale)

    def _round(self, values, channels, per_channel, training, shared_limit=None):
        # The converter has a range for each channel of some kinds of layers only.
        channels = channels if per_channel and self.per_channel else ()
        limit = None
        if channels and shared_limit is not None:
            limit = _fake_quantization.weight_limit(values, channels, shared_limit)
        # Both give the same numbers; the converter recognises the second form.
        if training:
            return _fake_quantization.fake_quantize_weights(
                values, channels, self.bits, limit
            )
        return _fake_quantization.deployed_weights(values, channels, self.bits, limit)

    def _call_with(self, replaced, training, args, kwargs):
        """Calls the layer with other values for some of its weights."""
        layer = self.layer
        values = {id(variable): value for variable, value in replaced}
        trainable = [_value(v, values) for v in layer.trainable_variables]
        # Also the state of seed generators in the layer, which the call advances.
        non_trainable = layer.non_trainable_variables
        before = [_value(v, values) for v in non_trainable]
        if "training" in inspect.signature(layer.call).parameters:
            kwargs = kwargs | {"training": training}
        outputs, after = layer.stateless_call(trainable, before, *args, **kwargs)
        # The call itself changed no variable: state is assigned here.
        for variable, old, new in zip(non_trainable, before, after, strict=True):
            if new is not None and new is not old:
                variable.assign(new)
        return outputs


@serializable
class QuantizedRecurrent(QuantizedLayer):
    """`QuantizedLayer` for LSTM, GRU, SimpleRNN and Bidirectional."""

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        self._build_inner(sequences_shape)

    def call(
        self,
        sequences: Any,
        initial_state: Any = None,
        mask: Any = None,
        training: bool | None = None,
    ) -> Any:
        options = {"initial_state": initial_state, "mask": mask}
        options = {name: value for name, value in options.items() if value is not None}
        return self._call_inner(training, sequences, **options)

    def compute_mask(self, sequences: Any, mask: Any = None) -> Any:
        return self.layer.compute_mask(sequences, mask)

    def compute_output_shape(
        self, sequences_shape: Any, initial_state_shape: Any = None
    ) -> Any:
        return self.layer.compute_output_shape(sequences_shape, initial_state_shape)


@serializable
class QuantizedAttention(QuantizedLayer):
    """`QuantizedLayer` for MultiHeadAttention."""

    def build(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> None:
        self._build_inner(query_shape, value_shape, key_shape)

    def call(
        self,
        query: Any,
        value: Any,
        key: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        use_causal_mask: bool = False,
    ) -> Any:
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

    def compute_mask(self, query: Any, mask: Any = None) -> None:
        return None

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        return self.layer.compute_output_spec(*args, **kwargs)


def _value(variable, values):
    if id(variable) in values:
        return values[id(variable)]
    return ops.convert_to_tensor(variable)
