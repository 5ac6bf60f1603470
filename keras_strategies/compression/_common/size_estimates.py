"""Estimates of the bytes that weights need in files: sparse, gzip, Huffman."""

import math
import zlib
from typing import Any

import keras
import numpy as np

_LAYERS = keras.layers
# Layers whose weights the TFLite converter can encode sparsely.
_SPARSE_LAYERS = (
    _LAYERS.Dense,
    _LAYERS.Conv1D,
    _LAYERS.Conv2D,
    _LAYERS.SeparableConv1D,
    _LAYERS.SeparableConv2D,
)
# The converter stores weights with a smaller share of zeros densely
# (`kMinSparsityLevel` of its DenseToSparse pass).
_LEAST_SPARSITY = 0.3
_FLOAT32_BYTES = 4
# Level of zlib, as `gzip` has it by default.
_LEVEL = 6


def _index_bytes(largest):
    """Bytes of an unsigned integer type that holds `largest`."""
    return 1 if largest < 2**8 else 2 if largest < 2**16 else 4


def sparse_bytes(layer: Any, array: np.ndarray) -> int:
    """Bytes of a float32 weight in TFLite's sparse format, or dense if not smaller.

    The format is compressed sparse rows (CSR): the values that are not zero, their
    column numbers, and the offset of each row, where a row has all inputs of one
    output (of one position of a convolution).

    Reference: `SparsityParameters` in tensorflow/lite/schema/schema.fbs.
    """
    dense_bytes = _FLOAT32_BYTES * array.size
    nonzero = int(np.count_nonzero(array))
    enough_zeros = nonzero <= (1 - _LEAST_SPARSITY) * array.size
    if not isinstance(layer, _SPARSE_LAYERS) or not enough_zeros:
        return dense_bytes
    columns = array.shape[-2]
    rows = array.size // columns
    entries = nonzero * (_FLOAT32_BYTES + _index_bytes(columns - 1))
    offsets = (rows + 1) * _index_bytes(nonzero)
    return min(entries + offsets, dense_bytes)


def gzip_bytes(array: np.ndarray) -> int:
    """Bytes of the float32 values after gzip."""
    contiguous = np.ascontiguousarray(array, "float32")
    return len(zlib.compress(contiguous.tobytes(), _LEVEL))


def huffman_bytes(codes: np.ndarray, num_values: int) -> int:
    """Bytes of codes at their entropy, and of the table of float32 values.

    The entropy `sum(n_i * log2(n / n_i))` bits is a lower bound of a Huffman code,
    which needs at most one bit a code more.

    Reference: Huffman, "A method for the construction of minimum-redundancy codes"
    (1952).
    """
    counts = np.bincount(codes.reshape(-1))
    counts = counts[counts > 0]
    bits = float(np.sum(counts * np.log2(counts.sum() / counts)))
    return math.ceil(bits / 8) + _FLOAT32_BYTES * num_values
