"""What quantization-aware training does with each kind of layer."""

import keras

from keras_strategies._internal.keras_private import BaseImagePreprocessingLayer
from keras_strategies.compression import _qat_config, _qat_weights

_LAYERS = keras.layers

# Roles of calls.
WEIGHTED = "weighted"  # rounded weights, output gets a range
ACTIVATION = "activation"
AFFINE = "affine"  # product and sum
CONCAT = "concat"  # inputs share the range of the output
OUTPUT = "output"  # output gets a range
SAME = "same"  # moves values about: the range of the input is kept
SCALED = "scaled"  # weights rounded and output on their values: Embedding
SPLIT = "split"  # two layers: SeparableConv, Average
CUSTOM = "custom"  # quantizes itself: QuantizeWrapper
FLOAT = "float"  # left out by the caller

WITH_WEIGHTS = (WEIGHTED, SCALED, SPLIT)

_RECURRENT = (_LAYERS.LSTM, _LAYERS.GRU, _LAYERS.SimpleRNN, _LAYERS.Bidirectional)

_SAME = (
    _LAYERS.ActivityRegularization,
    _LAYERS.AlphaDropout,
    _LAYERS.Cropping1D,
    _LAYERS.Cropping2D,
    _LAYERS.Dropout,
    _LAYERS.Flatten,
    _LAYERS.GaussianDropout,
    _LAYERS.GaussianNoise,
    _LAYERS.GlobalMaxPooling1D,
    _LAYERS.GlobalMaxPooling2D,
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
)
_OUTPUT = (
    _LAYERS.Add,
    _LAYERS.AveragePooling1D,
    _LAYERS.AveragePooling2D,
    _LAYERS.Dot,
    _LAYERS.GlobalAveragePooling1D,
    _LAYERS.GlobalAveragePooling2D,
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
# Calls of `keras.ops` in a graph, by class name.
_OPS = {
    "Add": OUTPUT,
    "Concatenate": CONCAT,
    "ExpandDims": SAME,
    "GetItem": SAME,
    "Matmul": OUTPUT,
    "Maximum": OUTPUT,
    "Minimum": OUTPUT,
    "Multiply": OUTPUT,
    "Relu": ACTIVATION,
    "Relu6": ACTIVATION,
    "Reshape": SAME,
    "Sigmoid": ACTIVATION,
    "Silu": ACTIVATION,
    "Softmax": ACTIVATION,
    "Squeeze": SAME,
    "Subtract": OUTPUT,
    "Tanh": ACTIVATION,
    "Transpose": SAME,
}

# How an activation is computed with integers.
FUSED = "fused"  # within the operation before it
FIXED = "fixed"  # from quantized inputs, to a range that LiteRT fixes
BOTH = "both"  # from quantized inputs, to a range of its own

_KINDS = {
    FUSED: ("linear", "relu", "relu6", "ReLU", "Relu", "Relu6"),
    FIXED: (
        ("sigmoid", "softmax", "log_softmax", "tanh") + ("Sigmoid", "Softmax", "Tanh")
    ),
    BOTH: (
        ("exponential", "gelu", "hard_silu", "hard_swish", "leaky_relu", "silu")
        + ("swish", "LeakyReLU", "PReLU", "Silu")
    ),
}


def activation_kind(activation):
    """`FUSED`, `FIXED` or `BOTH`; `None` for one without an integer form."""
    if isinstance(activation, keras.layers.Activation):
        activation = activation.activation
    if isinstance(activation, keras.layers.ReLU):
        return FUSED if _clips_like_relu(activation) else None
    name = getattr(activation, "__name__", type(activation).__name__)
    if callable(activation) and not isinstance(activation, keras.Operation):
        module = getattr(activation, "__module__", "") or ""
        if not module.startswith("keras."):
            return None
    return next((kind for kind, names in _KINDS.items() if name in names), None)


def _clips_like_relu(layer):
    plain = not layer.negative_slope and not layer.threshold
    return plain and layer.max_value in (None, 6, 6.0)


def role(operation):
    """`(role, None)`, or `(None, why not)` for what has no integer form."""
    if not isinstance(operation, keras.layers.Layer):
        known = _OPS.get(type(operation).__name__)
        return known, None if known else "an operation without an integer form"
    if isinstance(operation, keras.Model):
        return None, "a model that cannot be opened"
    if isinstance(operation, _qat_config.QuantizeWrapper):
        computes = operation.layer.dtype_policy.compute_dtype
        float32 = computes == "float32"
        return (CUSTOM, None) if float32 else (None, f"computes in {computes}")
    if not type(operation).__module__.startswith("keras."):
        return None, "a custom layer"
    problem = _problem(operation)
    if problem:
        return None, problem
    kind = type(operation)
    if isinstance(operation, _ACTIVATIONS):
        if activation_kind(operation) is None:
            return None, "an activation without an integer form"
        return ACTIVATION, None
    if isinstance(operation, _AFFINE):
        return AFFINE, None
    if isinstance(operation, _LAYERS.Embedding):
        return SCALED, None
    if isinstance(operation, _LAYERS.Concatenate):
        return CONCAT, None
    augments = isinstance(operation, BaseImagePreprocessingLayer)
    if isinstance(operation, _SAME) or (
        augments and kind.__name__.startswith("Random")
    ):
        return SAME, None
    if isinstance(operation, _OUTPUT):
        return OUTPUT, None
    if isinstance(operation, _SPLIT):
        return _split_role(operation)
    return _weighted_role(operation)


def is_container(layer):
    """Layers that compute with several kernels inside."""
    return isinstance(layer, (*_RECURRENT, _LAYERS.MultiHeadAttention))


def _split_role(layer):
    activation = getattr(layer, "activation", keras.activations.linear)
    if activation_kind(activation) is None:
        return None, "its activation has no integer form"
    return SPLIT, None


def _weighted_role(layer):
    if is_container(layer):
        return WEIGHTED, None
    known = [kinds for kinds, *_ in _qat_weights.WEIGHTS if isinstance(layer, kinds)]
    if not known:
        return None, "not supported"
    if activation_kind(layer.activation) is None:
        return None, "its activation has no integer form"
    return WEIGHTED, None


def _problem(layer):
    """Settings of a layer that its quantized form would lose."""
    if layer.dtype_policy.quantization_mode is not None:
        return "already quantized"
    if layer.dtype_policy.compute_dtype != "float32":
        return f"computes in {layer.dtype_policy.compute_dtype}"
    if getattr(layer, "lora_enabled", False):
        return "has LoRA weights"
    kept = (*_SAME, *_OUTPUT, _LAYERS.Concatenate)
    if layer.activity_regularizer is not None and not isinstance(layer, kept):
        return "has an activity_regularizer"
    return None
