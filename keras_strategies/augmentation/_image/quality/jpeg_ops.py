"""What JPEG loses, as a pure function of batches.

Tables and steps are those of the standard (ITU T.81) and of libjpeg, which writes
colors at half the resolution by default.
"""

import math
from typing import Any

import keras
import numpy as np

from keras_strategies._internal.types import Tensor

# Annex K of the standard.
_LUMA = """
16 11 10 16 24 40 51 61 12 12 14 19 26 58 60 55 14 13 16 24 40 57 69 56
14 17 22 29 51 87 80 62 18 22 37 56 68 109 103 77 24 35 55 64 81 104 113 92
49 64 78 87 103 121 120 101 72 92 95 98 112 100 103 99
"""
_CHROMA = """
17 18 24 47 99 99 99 99 18 21 26 66 99 99 99 99 24 26 56 99 99 99 99 99
47 66 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99
99 99 99 99 99 99 99 99 99 99 99 99 99 99 99 99
"""
_TABLES = np.array([t.split() for t in (_LUMA, _CHROMA)], "float32").reshape(2, 8, 8)
_TO_YCC = np.array(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]],
    "float32",
)


def _cosines() -> np.ndarray:
    """Returns the matrix of the orthonormal cosine transform of 8 values."""
    k, n = np.mgrid[:8, :8]
    matrix = np.cos((2 * n + 1) * k * math.pi / 16) / 2
    matrix[0] /= math.sqrt(2)
    return matrix.astype("float32")


_COSINES = _cosines()


def compress(
    images: Tensor,
    uniform: Tensor,
    quality: tuple[float, float],
    factor: float,
    value_range: tuple[float, float],
    ops: Any = keras.ops,
) -> Tensor:
    """Returns images as after they were written to JPEG files.

    Args:
        images: Tensor `(batch, height, width, 1 or 3)`.
        uniform: Tensor `(batch, 2)`: quality, whether to compress.
        quality: Bounds of the quality.
        factor: Probability that an image is compressed.
        value_range: Range of the pixels.
        ops: Namespace of operations.
    """
    low, high = value_range
    levels = (ops.cast(images, "float32") - low) * (255.0 / (high - low))
    levels = ops.round(ops.clip(levels, 0.0, 255.0))
    number = ops.floor(quality[0] + (quality[1] - quality[0]) * uniform[:, 0] + 0.5)
    _, height, width, channels = ops.shape(images)
    if channels == 1:
        decoded = _recoded(levels - 128.0, number, 0, ops) + 128.0
    else:
        ycc = ops.round(ops.matmul(levels, ops.convert_to_tensor(_TO_YCC.T)))
        luma = _recoded(ycc[..., :1] - 128.0, number, 0, ops) + 128.0
        small = _halved(_extended(ycc[..., 1:], 16, ops), ops)
        chroma = _doubled(_recoded(ops.round(small), number, 1, ops), ops)
        chroma = chroma[:, :height, :width]
        inverse = np.linalg.inv(_TO_YCC.astype("float64")).astype("float32")
        ycc = ops.concatenate([luma, chroma], axis=-1)
        decoded = ops.matmul(ycc, ops.convert_to_tensor(inverse.T))
    decoded = ops.round(ops.clip(decoded, 0.0, 255.0)) * ((high - low) / 255.0) + low
    is_active = ops.reshape(uniform[:, 1] < factor, (-1, 1, 1, 1))
    return ops.where(is_active, ops.cast(decoded, images.dtype), images)


def _extended(images: Tensor, multiple: int, ops: Any) -> Tensor:
    """Repeats the last row and column until sizes are multiples of a number."""
    for axis in (1, 2):
        size = ops.shape(images)[axis]
        full = (size + multiple - 1) // multiple * multiple
        index = ops.minimum(ops.arange(full, dtype="int32"), size - 1)
        images = ops.take(images, index, axis=axis)
    return images


def _recoded(values: Tensor, quality: Tensor, table: int, ops: Any) -> Tensor:
    """Rounds the cosine transform of blocks with the table for a quality."""
    _, height, width, _ = ops.shape(values)
    blocks = _extended(values, 8, ops)
    batch, rows, columns, channels = ops.shape(blocks)
    shape = (batch, rows // 8, 8, columns // 8, 8, channels)
    cosines = ops.convert_to_tensor(_COSINES)
    blocks = ops.reshape(blocks, shape)
    spectrum = ops.einsum("up,bipjqc,vq->biujvc", cosines, blocks, cosines)
    # libjpeg's scale of the tables, which are meant for quality 50.
    scale = ops.where(
        quality < 50.0, ops.floor(5000.0 / quality), 200.0 - 2.0 * quality
    )
    steps = ops.convert_to_tensor(_TABLES[table]) * ops.reshape(scale, (-1, 1, 1))
    steps = ops.clip(ops.floor((steps + 50.0) / 100.0), 1.0, 255.0)
    steps = ops.reshape(steps, (-1, 1, 8, 1, 8, 1))
    spectrum = ops.round(spectrum / steps) * steps
    decoded = ops.einsum("up,biujvc,vq->bipjqc", cosines, spectrum, cosines)
    decoded = ops.reshape(decoded, (batch, rows, columns, channels))
    return ops.clip(ops.round(decoded[:, :height, :width]), -128.0, 127.0)


def _halved(images: Tensor, ops: Any) -> Tensor:
    """Returns the means of two by two pixels."""
    sums = images[:, ::2] + images[:, 1::2]
    return (sums[:, :, ::2] + sums[:, :, 1::2]) / 4.0


def _doubled(images: Tensor, ops: Any) -> Tensor:
    """Doubles the resolution with libjpeg's weights 3/4 and 1/4."""
    for axis in (1, 2):
        batch, *sizes, channels = ops.shape(images)
        size = sizes[axis - 1]
        index = ops.arange(size, dtype="int32")
        before = ops.take(images, ops.maximum(index - 1, 0), axis=axis)
        after = ops.take(images, ops.minimum(index + 1, size - 1), axis=axis)
        pairs = [0.75 * images + 0.25 * before, 0.75 * images + 0.25 * after]
        sizes[axis - 1] = 2 * size
        stacked = ops.stack(pairs, axis=axis + 1)
        images = ops.reshape(stacked, (batch, *sizes, channels))
    return images
