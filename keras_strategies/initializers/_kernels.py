"""Kernels of convolutions: their shape, their center, their fans."""

import math

from keras import ops

from keras_strategies._internal import checks


def check_kernel(shape):
    """`(input channels, filters)` of the kernel of a Conv1D, Conv2D or Conv3D."""
    if not 3 <= len(shape) <= 5:
        checks.fail(
            "`shape` must be that of a convolution's kernel, with 3 to 5 axes",
            shape=tuple(shape),
            fix="Use it as `kernel_initializer` of a Conv1D, Conv2D or Conv3D.",
        )
    return int(shape[-2]), int(shape[-1])


def at_center(matrix, shape):
    """A kernel that has `matrix` at its center and zeros elsewhere."""
    sides = shape[:-2]
    centers = [(side - 1) // 2 for side in sides]
    padding = [(c, side - 1 - c) for c, side in zip(centers, sides, strict=True)]
    kernel = ops.reshape(matrix, (1,) * len(sides) + tuple(matrix.shape))
    return ops.pad(kernel, [*padding, (0, 0), (0, 0)])


def fan_in(shape):
    """How many numbers make one output."""
    return math.prod(shape[:-1])
