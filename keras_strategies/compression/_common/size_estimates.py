"""Estimates of what weights take in files: plain, sparsely encoded, compressed."""

import math
import zlib

import keras
import numpy as np

_LAYERS = keras.layers
# Whose weights the TFLite converter can encode sparsely.
_ENCODED = (
    _LAYERS.Dense,
    _LAYERS.Conv1D,
    _LAYERS.Conv2D,
    _LAYERS.SeparableConv1D,
    _LAYERS.SeparableConv2D,
)
# The converter leaves weights with fewer zeros as they are.
_MINIMUM = 0.3


def _index_bytes(largest):
    return 1 if largest < 2**8 else 2 if largest < 2**16 else 4


def sparse_bytes(layer, array):
    """Bytes of a float32 weight in TFLite's sparse format, or dense if not smaller.

    Values and column numbers of what is not zero, and one offset a row, where a row
    is all inputs of one output (of one position of a convolution).
    """
    nonzero = int(np.count_nonzero(array))
    if not isinstance(layer, _ENCODED) or nonzero > (1 - _MINIMUM) * array.size:
        return 4 * array.size
    columns = array.shape[-2]
    rows = array.size // columns
    numbers = nonzero * (4 + _index_bytes(columns - 1))
    return min(numbers + (rows + 1) * _index_bytes(nonzero), 4 * array.size)


def gzip_bytes(array):
    """Bytes of the float32 values after gzip."""
    return len(zlib.compress(np.ascontiguousarray(array, "float32").tobytes(), 6))


def huffman_bytes(codes, values):
    """Bytes of codes at their entropy, and of the table of float32 values.

    The entropy is what a Huffman code at best needs, and at most one bit a code
    less than it needs.
    """
    counts = np.bincount(codes.reshape(-1))
    counts = counts[counts > 0]
    bits = float(np.sum(counts * np.log2(counts.sum() / counts)))
    return math.ceil(bits / 8) + 4 * values
