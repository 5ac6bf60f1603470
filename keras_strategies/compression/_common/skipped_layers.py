"""Layers whose matrices are neither pruned nor clustered, with the reason."""

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from keras_strategies._internal import keras_private
from keras_strategies._internal.select import Selection, Target, layer_targets
from keras_strategies.compression._common.compressible_weights import (
    PRUNABLE,
    declared_weights,
    layer_weights,
)

_LAYERS = keras.layers
_DEPTHWISE = (
    _LAYERS.DepthwiseConv1D,
    _LAYERS.DepthwiseConv2D,
    _LAYERS.SeparableConv1D,
    _LAYERS.SeparableConv2D,
)
# States of a layer that hide the weight of a kind that is compressed otherwise.
LORA, QUANTIZED = "LoRA is enabled", "its weights are quantized"
_HIDDEN = (LORA, QUANTIZED)


def skipped_layers(
    model: keras.Model, protocol: Sequence[str] = PRUNABLE
) -> list[dict[str, Any]]:
    """`layer` (path), `type`, `parameters` and `reason` of each skipped layer.

    Only matrices and tensors of more dimensions count: biases and the scales of
    normalization are never compressed, and nobody expects it.
    """
    rows = []
    for target in [Target("", model, model), *layer_targets(model)]:
        layer = target.item
        compressed = {id(w) for w in layer_weights(layer, protocol)}
        own = [w for part in keras_private.own_variables_of_layer(layer) for w in part]
        rest = [w for w in own if len(w.shape) > 1 and id(w) not in compressed]
        if rest:
            rows.append(
                {
                    "layer": target.path or model.name,
                    "type": type(layer).__name__,
                    "parameters": sum(math.prod(w.shape) for w in rest),
                    "reason": _reason(layer, rest, protocol),
                }
            )
    return rows


def warn_of_hidden(
    model: keras.Model, selection: Selection, purpose: str, protocol: Sequence[str]
) -> None:
    """Warns of selected layers that would be compressed but for their state."""
    hidden = {
        row["layer"]: row["reason"]
        for row in skipped_layers(model, protocol)
        if row["reason"] in _HIDDEN
    }
    # A function of the user's is asked about these layers only.
    names = [
        f"{target.path} ({hidden[target.path]})"
        for target in layer_targets(model)
        if target.path in hidden and selection(target)
    ]
    if names:
        warnings.warn(
            f"These layers are not {purpose}, as what they compute with is no single "
            f"weight: {', '.join(names)}. Merge LoRA, or compress before it is "
            "enabled or the model is quantized.",
            stacklevel=4,
        )


def _reason(layer, rest, protocol):
    if getattr(layer, "lora_enabled", False):
        return LORA
    policy = getattr(layer, "dtype_policy", None)
    if getattr(policy, "quantization_mode", None) is not None:
        return QUANTIZED
    if declared_weights(layer, protocol) is not None:
        return "the layer does not name it as compressible"
    if isinstance(layer, _DEPTHWISE):
        return "depthwise kernels are few and sensitive"
    if not any(keras.backend.is_float_dtype(w.dtype) for w in rest):
        return "no floating-point numbers"
    return f"not a kind that is compressed; name its weights in `{protocol[0]}`"


def skipped_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The lines of a report about layers that it leaves out."""
    return [
        f"Not counted: {row['layer']} ({row['type']}, {row['parameters']:,}): "
        f"{row['reason']}"
        for row in rows
    ]
