"""Folding of BatchNormalization into the layer before it.

At inference BatchNormalization is an affine function of each channel, so with
`s = gamma / sqrt(variance + epsilon)` it becomes part of a linear layer:

    s * (w x + b - mean) + beta = (s w) x + (s (b - mean) + beta)

The converter to `.tflite` does the same, so training must round `s w`, not `w`.

References: Jacob et al., "Quantization and training of neural networks for efficient
integer-arithmetic-only inference" (2018), section 3.2,
https://arxiv.org/abs/1712.05877; Krishnamoorthi, "Quantizing deep convolutional
networks for efficient inference" (2018),
https://arxiv.org/abs/1806.08342.
"""

from collections.abc import Callable, Mapping
from typing import Any

import keras

from keras_strategies._internal.model_graph import Call, Graph
from keras_strategies.compression.quantization import _roles

_LAYERS = keras.layers
_FOLDABLE = (
    _LAYERS.Dense,
    _LAYERS.Conv1D,
    _LAYERS.Conv2D,
    _LAYERS.DepthwiseConv1D,
    _LAYERS.DepthwiseConv2D,
    _LAYERS.Conv2DTranspose,
)


def folded_calls(
    graph: Graph, roles: Mapping[Call, str], may_fold: Callable[[Any], bool]
) -> dict[Call, Call]:
    """`{call of a layer: call of the BatchNormalization that is folded into it}`.

    Args:
        graph: The graph.
        roles: The role of each call.
        may_fold: Function of a layer: whether BatchNormalization may be folded in.
    """
    folds: dict[Call, Call] = {}
    num_calls: dict[int, int] = {}
    for call in graph.calls:
        key = id(call.operation)
        num_calls[key] = num_calls.get(key, 0) + 1
    for call in graph.calls:
        if roles[call] != _roles.WEIGHT_QUANTIZED or not _is_foldable(call.operation):
            continue
        if not may_fold(call.operation):
            continue
        [output] = call.outputs
        # Anything else that takes the output needs it without normalization.
        if output.is_output or len(output.consumers) != 1:
            continue
        [consumer] = output.consumers
        norm = consumer.operation
        if roles[consumer] != _roles.AFFINE or not _matches(call.operation, norm):
            continue
        # Masked statistics cannot be computed from the folded layer, and a shared
        # layer would be folded with several normalizations.
        is_masked = "mask" in consumer.kwargs
        is_shared = num_calls[id(call.operation)] > 1 or num_calls[id(norm)] > 1
        if not is_masked and not is_shared:
            folds[call] = consumer
    return folds


def is_linear(activation: Any) -> bool:
    """Whether an activation argument is the identity."""
    return activation is None or activation is keras.activations.linear


def uses_batch_statistics(call: Call | None) -> bool:
    """Whether the model does not call BatchNormalization with `training=False`."""
    return call is None or call.kwargs.get("training") is not False


def _is_foldable(layer):
    return isinstance(layer, _FOLDABLE) and is_linear(layer.activation)


def _matches(layer, norm):
    """Whether `norm` is a BatchNormalization over the channels of `layer`."""
    if not isinstance(norm, _LAYERS.BatchNormalization):
        return False
    channels_first = getattr(layer, "data_format", "channels_last") == "channels_first"
    rank = norm.input_spec.ndim
    return norm.axis % rank == (1 if channels_first else rank - 1)
