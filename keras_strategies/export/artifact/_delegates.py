"""Operations that accelerators are known to take, by their published lists."""

import dataclasses
from collections.abc import Iterable
from typing import Any

_GPU = """
ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D EXP FULLY_CONNECTED
LOGICAL_AND LOGISTIC LSTM MAX_POOL_2D MAXIMUM MINIMUM MUL PAD PRELU RELU RELU6 RESHAPE
RESIZE_BILINEAR SOFTMAX STRIDED_SLICE SUB TRANSPOSE_CONV
"""
# The GPU delegate itself replaces the conversions of quantized models.
_GPU_CONVERSIONS = "QUANTIZE DEQUANTIZE"
_EDGE_TPU = """
ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D EXPAND_DIMS FULLY_CONNECTED
L2_NORMALIZATION LOGISTIC LSTM MAXIMUM MAX_POOL_2D MEAN MINIMUM MUL PACK PAD PRELU
QUANTIZE REDUCE_MAX REDUCE_MIN RELU RELU6 RELU_N1_TO_1 RESHAPE RESIZE_BILINEAR
RESIZE_NEAREST_NEIGHBOR RSQRT SLICE SOFTMAX SPACE_TO_DEPTH SPLIT SQUARED_DIFFERENCE
SQUEEZE STRIDED_SLICE SUB SUM TANH TRANSPOSE TRANSPOSE_CONV
"""


@dataclasses.dataclass(frozen=True)
class Delegate:
    """An accelerator and the operations that it takes.

    Attributes:
        name: Its name.
        ops: Names of the operations.
        source: Where the list is from.
        needs: What it asks of a file beside.
    """

    name: str
    ops: frozenset[str]
    source: str
    needs: str


# Newer drivers may take more. The makers of neural processors, which followed NNAPI,
# publish no such lists: their compilers tell.
DELEGATES = (
    Delegate(
        "GPU delegate",
        frozenset(f"{_GPU} {_GPU_CONVERSIONS}".split()),
        "https://ai.google.dev/edge/litert/performance/gpu",
        "fixed shapes",
    ),
    Delegate(
        "Edge TPU",
        frozenset(_EDGE_TPU.split()),
        "https://coral.ai/docs/edgetpu/models-intro",
        "int8 inputs, outputs and operations, and fixed shapes",
    ),
)


def unlisted_ops(ops: Iterable[str]) -> list[dict[str, Any]]:
    """Returns, for each accelerator, the operations that its list does not have.

    They run on the processor: each stretch between two of them is one transfer.
    """
    used = sorted(set(ops))
    return [
        {
            "delegate": delegate.name,
            "ops": [op for op in used if op not in delegate.ops],
            "needs": delegate.needs,
            "source": delegate.source,
        }
        for delegate in DELEGATES
    ]
