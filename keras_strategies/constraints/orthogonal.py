"""Orthogonality constraint."""

from keras import ops

from keras_strategies._internal import bases
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Tensor
from keras_strategies._internal.weights.kernel_axes import (
    as_float32,
    checked_axis,
    from_matrix,
    to_matrix,
)


def nearest_orthogonal(matrix: Tensor) -> Tensor:
    """Returns the matrix with orthonormal columns (or rows) nearest to `matrix`."""
    # The orthogonal polar factor, the solution of the Procrustes problem.
    u, _, vh = ops.svd(matrix, full_matrices=False)
    return ops.matmul(u, vh)


@serializable
class Orthogonal(bases.Constraint):
    """Projects a kernel to the nearest orthogonal one after each update.

    An orthogonal kernel preserves the norm of signals and gradients, however deep the
    network, which matters most for recurrent kernels and for deep networks without
    normalization. The regularizer `ConvOrthogonal` only penalizes deviations from
    orthogonality. The kernel is reshaped to a matrix `W` with a column for each unit or
    filter and replaced by the nearest matrix (in the Frobenius norm) whose columns, or
    rows if these are fewer, are orthonormal:

    ```
    W = U S V'    (singular value decomposition)
    W <- U V'
    ```

    A convolution with such a kernel is not an orthogonal operation as a whole, as
    its patches overlap. The decomposition costs about `rows * columns *
    min(rows, columns)` operations in each training step.

    Reference:

    - [Huang et al., 2018, Orthogonal Weight
      Normalization](https://arxiv.org/abs/1709.06079)

    Args:
        axis: Integer or tuple of integers: the axes that number the units or filters.
            The last for kernels of Keras's dense and convolutional layers; `(-2, -1)`
            for a `DepthwiseConv2D` and `-2` for a `Conv2DTranspose`. Defaults to
            `-1`.

    Raises:
        TypeError: If `axis` is no integer or tuple of integers.
        ValueError: If `axis` has a repeated axis or, when called, one that the weight
            does not have.

    Example:

    ```python
    import keras
    from keras_strategies.constraints import Orthogonal

    layer = keras.layers.SimpleRNN(8, recurrent_constraint=Orthogonal())

    kernel = keras.ops.array([[3.0, 0.0], [0.0, -0.5]])
    print(Orthogonal()(kernel))  # [[1, 0], [0, -1]]
    ```
    """

    def __init__(self, axis: int | tuple[int, ...] = -1) -> None:
        self.axis: int | tuple[int, ...] = checked_axis(axis)

    def __call__(self, w: Tensor) -> Tensor:
        w = ops.convert_to_tensor(w)
        matrix = nearest_orthogonal(to_matrix(as_float32(w), self.axis))
        return ops.cast(from_matrix(matrix, w.shape, self.axis), w.dtype)

    def get_config(self) -> Config:
        return {"axis": self.axis}
