"""Blur of images as a pure function of uniform numbers."""

import math
from typing import Any

import keras

from keras_strategies._internal.types import Tensor


def kernels(length: Tensor, angle: Tensor, size: int, ops: Any = keras.ops) -> Tensor:
    """Returns kernels `(batch, size, size)` of lines through the center.

    A line is `size` points at even distances, each shared by the four pixels around it.

    Args:
        length: Tensor `(batch,)`, in pixels, at most `size`.
        angle: Tensor `(batch,)`, in radians.
        size: Odd number of rows and columns.
        ops: Namespace of operations.
    """
    center = (size - 1) / 2.0
    fraction = ops.arange(size, dtype="float32") / max(size - 1.0, 1.0) - 0.5
    # Pixels reach half a pixel beyond their centers: `length` of them lie on the line.
    along = ops.reshape(length - 1.0, (-1, 1)) * fraction
    angle = ops.reshape(angle, (-1, 1))
    x = ops.expand_dims(center + along * ops.cos(angle), -1)
    y = ops.expand_dims(center + along * ops.sin(angle), -1)
    pixels = ops.arange(size, dtype="float32")
    columns = ops.maximum(0.0, 1.0 - ops.abs(x - pixels))
    rows = ops.maximum(0.0, 1.0 - ops.abs(y - pixels))
    return ops.matmul(ops.transpose(rows, (0, 2, 1)), columns) / size


def motion_blur(
    images: Tensor,
    uniform: Tensor,
    length: tuple[float, float],
    angle: tuple[float, float],
    factor: float,
    ops: Any = keras.ops,
) -> Tensor:
    """Blurs images `(batch, height, width, channels)` along lines.

    Args:
        images: The images.
        uniform: Tensor `(batch, 3)`: length, angle, whether to blur.
        length: Bounds of the length in pixels.
        angle: Bounds of the angle, as fractions of a full turn.
        factor: Probability that an image is blurred.
        ops: Namespace of operations.
    """
    size = 2 * (math.ceil(length[1]) // 2) + 1
    drawn = length[0] + (length[1] - length[0]) * uniform[:, 0]
    drawn = ops.where(uniform[:, 2] < factor, drawn, 1.0)
    turn = 2 * math.pi * (angle[0] + (angle[1] - angle[0]) * uniform[:, 1])
    kernel = ops.cast(kernels(drawn, turn, size, ops), images.dtype)
    _, height, width, _ = ops.shape(images)
    reach = size // 2
    # The pixels at the edge go on outside of the image.
    extended = images
    for axis, pixels in ((1, height), (2, width)):
        index = ops.arange(pixels + 2 * reach, dtype="int32") - reach
        extended = ops.take(extended, ops.clip(index, 0, pixels - 1), axis=axis)
    total = 0.0
    for i in range(size):
        for j in range(size):
            weight = ops.reshape(kernel[:, i, j], (-1, 1, 1, 1))
            total = total + weight * extended[:, i : i + height, j : j + width]
    return total
