"""Roles of layers in quantization-aware training, and kinds of activations.

The roles mirror how LiteRT computes each operation with integers.

Reference: the quantization specification of LiteRT,
https://ai.google.dev/edge/litert/models/quantization_spec.
"""

from typing import Any

import keras

from keras_strategies._internal.keras_private import BaseImagePreprocessingLayer
from keras_strategies.compression.quantization import (
    _custom_layers,
    _quantize_wrapper,
    _weight_layers,
)
from keras_strategies.compression.quantization._activation_layers import is_layer_scale
from keras_strategies.compression.quantization._activation_names import (
    canonical_activation,
)

_LAYERS = keras.layers

# Roles of calls.
WEIGHT_QUANTIZED = "weight_quantized"  # rounded weights, output gets a range
ACTIVATION = "activation"
AFFINE = "affine"  # product and sum
CONCAT = "concat"  # inputs share the range of the output
OUTPUT = "output"  # output gets a range
PASS_THROUGH = "pass_through"  # outputs are values of the input, in its range
LOOKUP = "lookup"  # outputs are rounded weights: Embedding
SPLIT = "split"  # two layers: SeparableConv, Average
CUSTOM = "custom"  # quantizes itself: QuantizeWrapper
FLOAT = "float"  # left out by the caller

WITH_WEIGHTS = (WEIGHT_QUANTIZED, LOOKUP, SPLIT)

_RECURRENT = (_LAYERS.LSTM, _LAYERS.GRU, _LAYERS.SimpleRNN, _LAYERS.Bidirectional)

_PASS_THROUGH = (
    _LAYERS.ActivityRegularization,
    _LAYERS.AlphaDropout,
    _LAYERS.AveragePooling1D,  # LiteRT's has one range for input and output
    _LAYERS.AveragePooling2D,
    _LAYERS.Cropping1D,
    _LAYERS.Cropping2D,
    _LAYERS.Cropping3D,
    _LAYERS.Dropout,
    _LAYERS.Flatten,
    _LAYERS.GaussianDropout,
    _LAYERS.GaussianNoise,
    _LAYERS.GlobalMaxPooling1D,
    _LAYERS.GlobalMaxPooling2D,
    _LAYERS.GlobalMaxPooling3D,
    _LAYERS.Identity,
    _LAYERS.MaxPooling1D,
    _LAYERS.MaxPooling2D,
    _LAYERS.Permute,
    _LAYERS.RepeatVector,
    _LAYERS.Reshape,
    _LAYERS.SpatialDropout1D,
    _LAYERS.SpatialDropout2D,
    _LAYERS.UpSampling1D,
    _LAYERS.ZeroPadding1D,
    _LAYERS.ZeroPadding2D,
    _LAYERS.ZeroPadding3D,
)
_OUTPUT = (
    _LAYERS.Add,
    _LAYERS.Dot,
    _LAYERS.GlobalAveragePooling1D,
    _LAYERS.GlobalAveragePooling2D,
    _LAYERS.GlobalAveragePooling3D,
    _LAYERS.GroupNormalization,
    _LAYERS.LayerNormalization,
    _LAYERS.Maximum,
    _LAYERS.Minimum,
    _LAYERS.Multiply,
    _LAYERS.Subtract,
    _LAYERS.UpSampling2D,
)
_SPLIT = (_LAYERS.Average, _LAYERS.SeparableConv1D, _LAYERS.SeparableConv2D)
_AFFINE = (_LAYERS.BatchNormalization, _LAYERS.Normalization, _LAYERS.Rescaling)
_ACTIVATIONS = (
    _LAYERS.Activation,
    _LAYERS.LeakyReLU,
    _LAYERS.PReLU,
    _LAYERS.ReLU,
    _LAYERS.Softmax,
)
_ROLES_BY_CLASS = (
    (_AFFINE, AFFINE),
    (_LAYERS.Embedding, LOOKUP),
    (_LAYERS.Concatenate, CONCAT),
    (_PASS_THROUGH, PASS_THROUGH),
    (_OUTPUT, OUTPUT),
)
# Calls of `keras.ops` in a graph, by class name.
_OPS = {
    "Add": OUTPUT,
    "Concatenate": CONCAT,
    "ExpandDims": PASS_THROUGH,
    "GetItem": PASS_THROUGH,
    "Matmul": OUTPUT,
    "Maximum": OUTPUT,
    "Minimum": OUTPUT,
    "Multiply": OUTPUT,
    "Relu": ACTIVATION,
    "Relu6": ACTIVATION,
    "Reshape": PASS_THROUGH,
    "Sigmoid": ACTIVATION,
    "Silu": ACTIVATION,
    "Softmax": ACTIVATION,
    "Squeeze": PASS_THROUGH,
    "Subtract": OUTPUT,
    "Tanh": ACTIVATION,
    "Transpose": PASS_THROUGH,
}

# Kinds of activations, by how LiteRT computes them with integers.
FUSED = "fused"  # within the operation before it
FIXED_RANGE = "fixed_range"  # from quantized inputs, to a range that LiteRT fixes
UNFUSED = "unfused"  # from quantized inputs, to a range of its own

_KINDS = {
    FUSED: ("linear", "relu", "relu6", "ReLU", "Relu", "Relu6"),
    FIXED_RANGE: (
        ("sigmoid", "softmax", "log_softmax", "tanh") + ("Sigmoid", "Softmax", "Tanh")
    ),
    UNFUSED: (
        ("exponential", "gelu", "hard_silu", "hard_swish", "leaky_relu", "silu")
        + ("swish", "LeakyReLU", "PReLU", "Silu")
    ),
}


def activation_kind(activation: Any) -> str | None:
    """The kind of an activation; `None` for one without an integer form."""
    if isinstance(activation, keras.layers.Activation):
        activation = activation.activation
    if isinstance(activation, keras.layers.ReLU):
        return FUSED if _is_fused_relu(activation) else None
    activation = canonical_activation(activation)
    # A function of the user's may be called `relu` too.
    if callable(activation) and not isinstance(activation, keras.Operation):
        module = getattr(activation, "__module__", "") or ""
        if not module.startswith("keras."):
            return None
    name = getattr(activation, "__name__", type(activation).__name__)
    return next((kind for kind, names in _KINDS.items() if name in names), None)


def _is_fused_relu(layer):
    """Whether a ReLU layer is the relu or relu6 that LiteRT fuses."""
    is_plain = not layer.negative_slope and not layer.threshold
    return is_plain and layer.max_value in (None, 6, 6.0)


def role(operation: Any) -> tuple[str | None, str | None]:
    """`(role, None)`, or `(None, why not)` for what has no integer form."""
    if not isinstance(operation, keras.layers.Layer):
        by_name = _OPS.get(type(operation).__name__)
        return by_name, None if by_name else "an operation without an integer form"
    if isinstance(operation, keras.Model):
        return None, "a model that cannot be opened"
    if isinstance(operation, _quantize_wrapper.QuantizeWrapper):
        dtype = operation.layer.dtype_policy.compute_dtype
        is_float32 = dtype == "float32"
        return (CUSTOM, None) if is_float32 else (None, f"computes in {dtype}")
    if _custom_layers.has_config(operation):
        dtype = operation.dtype_policy.compute_dtype
        if dtype != "float32":
            return None, f"computes in {dtype}"
        if _custom_layers.named_weights(operation):
            return WEIGHT_QUANTIZED, None
        return OUTPUT, None
    if is_layer_scale(operation):
        return AFFINE, None
    if not type(operation).__module__.startswith("keras."):
        return None, "a custom layer without `quantize_config`"
    problem = _problem(operation)
    if problem:
        return None, problem
    if isinstance(operation, _ACTIVATIONS):
        if activation_kind(operation) is None:
            return None, "an activation without an integer form"
        return ACTIVATION, None
    for kinds, assigned in _ROLES_BY_CLASS:
        if isinstance(operation, kinds):
            return assigned, None
    if _is_augmentation(operation):
        return PASS_THROUGH, None
    if isinstance(operation, _SPLIT):
        return _split_role(operation)
    return _weight_role(operation)


def _is_augmentation(layer):
    """Random augmentation, which does nothing at inference."""
    is_preprocessing = isinstance(layer, BaseImagePreprocessingLayer)
    return is_preprocessing and type(layer).__name__.startswith("Random")


def is_container(layer: Any) -> bool:
    """Layers that compute with several kernels inside, or in a way of their own."""
    if _custom_layers.has_config(layer):
        return True
    return isinstance(layer, (*_RECURRENT, _LAYERS.MultiHeadAttention))


def _split_role(layer):
    activation = getattr(layer, "activation", keras.activations.linear)
    if activation_kind(activation) is None:
        return None, "its activation has no integer form"
    return SPLIT, None


def _weight_role(layer):
    if is_container(layer):
        return WEIGHT_QUANTIZED, None
    if not any(isinstance(layer, kinds) for kinds, *_ in _weight_layers.WEIGHTS):
        return None, "not supported"
    if activation_kind(layer.activation) is None:
        return None, "its activation has no integer form"
    return WEIGHT_QUANTIZED, None


def _problem(layer):
    """Settings of a layer that its quantized form would lose."""
    if layer.dtype_policy.quantization_mode is not None:
        return "already quantized"
    if layer.dtype_policy.compute_dtype != "float32":
        return f"computes in {layer.dtype_policy.compute_dtype}"
    if getattr(layer, "lora_enabled", False):
        return "has LoRA weights"
    # Layers that are copied whole keep their regularizer; wrapped ones would lose it.
    copied = (*_PASS_THROUGH, *_OUTPUT, _LAYERS.Concatenate)
    if layer.activity_regularizer is not None and not isinstance(layer, copied):
        return "has an activity_regularizer"
    return None
