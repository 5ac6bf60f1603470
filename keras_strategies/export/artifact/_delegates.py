"""Operations that accelerators are known to take, by their published lists."""

import dataclasses
from collections.abc import Iterable
from typing import Any

from keras_strategies.export.artifact._micro import micro_ops

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


# The successors of NNAPI: the compilers of LiteRT's repository for neural processors,
# of 2026-08-21, by the operations that they name. A chip may take fewer types.
_QUALCOMM = """
ABS ADD ARG_MAX ARG_MIN AVERAGE_POOL_2D BATCH_MATMUL BATCH_TO_SPACE_ND BROADCAST_TO CAST
CEIL CONCATENATION CONV_2D CONV_3D COS CUMSUM DEPTHWISE_CONV_2D DEPTH_TO_SPACE
DEQUANTIZE DIV DYNAMIC_UPDATE_SLICE ELU EMBEDDING_LOOKUP EQUAL EXP FLOOR FLOOR_DIV
FLOOR_MOD FULLY_CONNECTED GATHER GATHER_ND GELU GREATER GREATER_EQUAL HARD_SWISH
L2_NORMALIZATION L2_POOL_2D LEAKY_RELU LESS LESS_EQUAL LOG LOGICAL_AND LOGICAL_NOT
LOGICAL_OR LOGISTIC LOG_SOFTMAX MAXIMUM MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL NEG
NOT_EQUAL ONE_HOT PACK PAD PADV2 POW PRELU QUANTIZE REDUCE_ALL REDUCE_ANY REDUCE_MAX
REDUCE_MIN RELU RELU6 RELU_0_TO_1 RELU_N1_TO_1 RESHAPE RESIZE_BILINEAR
RESIZE_NEAREST_NEIGHBOR REVERSE_V2 ROUND RSQRT SCATTER_ND SELECT SELECT_V2 SIGN SIN
SLICE SOFTMAX SPACE_TO_BATCH_ND SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE
SQUARED_DIFFERENCE STRIDED_SLICE SUB SUM TANH TILE TOPK_V2 TRANSPOSE TRANSPOSE_CONV
UNPACK
"""
_MEDIATEK = """
ABS ADD AVERAGE_POOL_2D BATCH_MATMUL CAST CONCATENATION CONV_2D DEPTHWISE_CONV_2D
DEQUANTIZE DIV FULLY_CONNECTED GELU GREATER HARD_SWISH L2_NORMALIZATION LEAKY_RELU LESS
LOGISTIC MAXIMUM MAX_POOL_2D MEAN MINIMUM MUL PAD PADV2 PRELU QUANTIZE REDUCE_MAX RELU
RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR RSQRT SLICE SOFTMAX SPLIT SQRT
SQUARED_DIFFERENCE STRIDED_SLICE SUB SUM TANH TRANSPOSE TRANSPOSE_CONV
"""
_VENDORS = "https://github.com/google-ai-edge/LiteRT/blob/main/litert/vendors"

# Newer drivers may take more.
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
    Delegate(
        "Qualcomm NPU",
        frozenset(_QUALCOMM.split()),
        f"{_VENDORS}/qualcomm/compiler/qnn_compose_graph.cc",
        "fixed shapes; int8 or int16x8 for the quick units",
    ),
    Delegate(
        "MediaTek NPU",
        frozenset(_MEDIATEK.split()),
        f"{_VENDORS}/mediatek/compiler/compiler_plugin.cc",
        "fixed shapes",
    ),
    Delegate(
        "microcontroller",
        micro_ops.SUPPORTED,
        micro_ops.SOURCE,
        "fixed shapes, a tensor arena (`measure_arena`)",
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
