"""Power iteration for the largest singular value, with a fixed start."""

import numpy as np
from keras import ops

from keras_strategies._internal.types import Tensor
from keras_strategies._internal.weights.kernel_axes import safe_root

_GOLDEN = (5**0.5 - 1) / 2


def start_vector(size: int, dtype: str = "float32") -> Tensor:
    """A fixed unit vector whose entries all differ, without any pattern.

    A constant vector is orthogonal to the leading vector of many a kernel, such as
    one whose columns have mean zero. Multiples of the golden ratio modulo 1 are not,
    and unlike random numbers they are the same in every step and process.
    """
    vector = np.modf(np.arange(1, size + 1) * _GOLDEN)[0] - 0.5
    return ops.cast(vector / np.linalg.norm(vector), dtype)


def norm(vector: Tensor) -> Tensor:
    """Returns the Euclidean norm, with gradient 0 at a zero vector."""
    return safe_root(ops.sum(ops.square(vector)))


def unit(vector: Tensor) -> Tensor:
    """`vector` with length 1; a zero vector stays."""
    length = norm(vector)
    return vector / ops.where(length > 0, length, 1.0)


def apply(matrix: Tensor, vector: Tensor) -> Tensor:
    """Returns the product of a matrix and a vector."""
    return ops.squeeze(ops.matmul(matrix, vector[:, None]), axis=1)


def largest_singular_value(matrix: Tensor, iterations: int) -> Tensor:
    """Lower estimate of the spectral norm, exact in the limit of many iterations.

    The gradient is that of `u' W v` with the vectors held fixed, which is the
    gradient of the singular value itself where they have converged.
    """
    fixed = ops.stop_gradient(matrix)
    v = start_vector(matrix.shape[1], matrix.dtype)
    for _ in range(iterations):
        u = unit(apply(fixed, v))
        v = unit(apply(ops.transpose(fixed), u))
    u = ops.stop_gradient(unit(apply(fixed, v)))
    return ops.sum(u * apply(matrix, ops.stop_gradient(v)))


def largest_eigenvalue_magnitude(symmetric: Tensor, iterations: int) -> Tensor:
    """Lower estimate of `max |eigenvalue|` of a symmetric matrix; 0 if it is zero."""
    fixed = ops.stop_gradient(symmetric)
    v = start_vector(symmetric.shape[1], symmetric.dtype)
    for _ in range(iterations):
        v = unit(apply(fixed, v))
    return norm(apply(symmetric, ops.stop_gradient(v)))
