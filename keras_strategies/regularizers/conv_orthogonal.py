"""Orthogonality regularizer for kernels of any rank."""

from typing import Literal

from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Tensor
from keras_strategies._internal.weights import power_iteration
from keras_strategies._internal.weights.kernel_axes import (
    as_float32,
    checked_axis,
    to_matrix,
)
from keras_strategies.regularizers._batch_penalty import BatchPenalty


def gram_error(matrix: Tensor) -> Tensor:
    """Returns `W'W - I`, or the smaller `W W' - I` if there are more columns than rows.

    Zero if the columns (or else the rows) are orthonormal.
    """
    rows, columns = matrix.shape
    transposed = ops.transpose(matrix)
    if rows < columns:
        gram = ops.matmul(matrix, transposed)
    else:
        gram = ops.matmul(transposed, matrix)
    return gram - ops.eye(min(rows, columns), dtype=matrix.dtype)


@serializable
class ConvOrthogonal(BatchPenalty):
    """Penalizes the deviation of a kernel's filters from orthonormal ones (SRIP).

    Orthonormal filters differ from each other and preserve the norm of signals and
    gradients, which speeds up and stabilizes the training of deep convolutional
    networks. Keras's `OrthogonalRegularizer` compares only the directions of rows or
    columns of matrices; this one takes kernels of any rank and also penalizes their
    norms. A kernel is reshaped to a matrix `W` with a column for each filter, and the
    penalty is

    ```
    mode="srip":  factor * sigma(W'W - I)
    mode="so":    factor * ||W'W - I||_F^2
    ```

    where `sigma` is the largest magnitude of an eigenvalue, `|| ||_F` the Frobenius
    norm and `I` the identity; where a kernel has more filters than inputs, `W W'`
    replaces `W'W`. SRIP (spectral restricted isometry property) acts on the worst
    direction only. `sigma` is estimated from below by power iteration, which starts at
    a fixed vector, so that equal kernels have equal penalties; the paper uses two
    iterations. The gradient is computed with the last vector as a constant.

    Reference:

    - [Bansal et al., 2018, Can We Gain More from Orthogonality Regularizations in
      Training Deep CNNs?](https://arxiv.org/abs/1810.09102)

    Args:
        factor: Strength of the penalty, at least 0. Defaults to `0.01`.
        mode: `"srip"` or `"so"` (soft orthogonality). Defaults to `"srip"`.
        power_iterations: Number of power iterations of `"srip"`, at least 1.
            Defaults to `2`.
        axis: Integer or tuple of integers: the axes that number the filters, as in
            `GroupLasso`; `(-2, -1)` for a `DepthwiseConv2D` and `-2` for a
            `Conv2DTranspose`. Defaults to `-1`.

    Raises:
        ValueError: If an argument is out of its range, or if `axis` has a repeated
            axis or, when called, one that the weight does not have.

    Example:

    ```python
    import keras
    from keras_strategies.regularizers import ConvOrthogonal

    layer = keras.layers.Conv2D(32, 3, kernel_regularizer=ConvOrthogonal(1e-2))

    print(float(ConvOrthogonal(1.0)(keras.ops.eye(3))))  # 0.0
    print(float(ConvOrthogonal(1.0)(2.0 * keras.ops.eye(3))))  # 2 * 2 - 1 = 3.0
    ```
    """

    def __init__(
        self,
        factor: float = 0.01,
        mode: Literal["srip", "so"] = "srip",
        power_iterations: int = 2,
        axis: int | tuple[int, ...] = -1,
    ) -> None:
        self.factor: float = checks.real("factor", factor, low=0)
        self.mode: str = checks.choice("mode", mode, ("srip", "so"))
        self.power_iterations: int = checks.integer(
            "power_iterations", power_iterations, low=1
        )
        self.axis: int | tuple[int, ...] = checked_axis(axis)

    def _penalty(self, x: Tensor) -> Tensor:
        error = gram_error(to_matrix(as_float32(x), self.axis))
        if self.mode == "so":
            penalty = ops.sum(ops.square(error))
        else:
            penalty = power_iteration.largest_eigenvalue_magnitude(
                error, self.power_iterations
            )
        return ops.cast(self.factor * penalty, x.dtype)

    def get_config(self) -> Config:
        return {
            "factor": self.factor,
            "mode": self.mode,
            "power_iterations": self.power_iterations,
            "axis": self.axis,
        }
