"""Shapes, centers and fans of convolution kernels."""

import math
from collections.abc import Sequence

from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.types import Tensor


def check_kernel(shape: Sequence[int]) -> tuple[int, int]:
    """Returns `(input channels, filters)` of the kernel of a Conv1D, 2D or 3D."""
    if not 3 <= len(shape) <= 5:
        checks.fail(
            "`shape` must be that of a convolution's kernel, with 3 to 5 axes",
            shape=tuple(shape),
            fix="Use it as `kernel_initializer` of a Conv1D, Conv2D or Conv3D.",
        )
    return int(shape[-2]), int(shape[-1])


def at_center(matrix: Tensor, shape: Sequence[int]) -> Tensor:
    """Returns a kernel with `matrix` at its center and zeros elsewhere."""
    sides = shape[:-2]
    # For an even size the left of the two centers, as Keras's "same" padding.
    centers = [(side - 1) // 2 for side in sides]
    padding = [(c, side - 1 - c) for c, side in zip(centers, sides, strict=True)]
    kernel = ops.reshape(matrix, (1,) * len(sides) + tuple(matrix.shape))
    return ops.pad(kernel, [*padding, (0, 0), (0, 0)])


def fan_in(shape: Sequence[int]) -> int:
    """Returns the number of inputs of one output."""
    return math.prod(shape[:-1])
