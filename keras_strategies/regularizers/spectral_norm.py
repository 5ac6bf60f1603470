"""Spectral-norm regularizer."""

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


@serializable
class SpectralNorm(BatchPenalty):
    """Penalizes the spectral norm of a kernel.

    The spectral norm bounds how much a layer can amplify a change of its input. Weight
    decay shrinks all directions; this penalty shrinks only the strongest one, which
    improves generalization and makes a network less sensitive to perturbations. To fix
    the norm at exactly 1 use `keras.layers.SpectralNormalization` or the constraint
    `UnitSpectralNorm`. The penalty is

    ```
    factor * sigma(W)^2
    ```

    where `W` is the kernel reshaped to a matrix with a column for each unit or
    filter and `sigma` its largest singular value. For a convolution this is the
    norm of the kernel as a matrix, not of the whole operation, as in the paper.
    `sigma` is estimated from below by power iteration from a fixed start, so that
    equal kernels have equal penalties; its gradient is `u v'` of the last vectors.

    Reference:

    - [Yoshida and Miyato, 2017, Spectral Norm Regularization for Improving the
      Generalizability of Deep Learning](https://arxiv.org/abs/1705.10941), whose
      lambda is `2 * factor`

    Args:
        factor: Strength of the penalty, at least 0. Defaults to `0.01`.
        power_iterations: Number of power iterations, at least 1. Few are enough:
            each reduces the error by the fourth power of the ratio of the two largest
            singular values. Defaults to `5`.
        axis: Integer or tuple of integers: the axes that number the units or
            filters, as in `GroupLasso`. Defaults to `-1`.

    Raises:
        ValueError: If an argument is out of its range, or if `axis` has a repeated
            axis or, when called, one that the weight does not have.

    Example:

    ```python
    import keras
    from keras_strategies.regularizers import SpectralNorm

    layer = keras.layers.Dense(64, kernel_regularizer=SpectralNorm(1e-2))

    kernel = keras.ops.array([[3.0, 0.0], [0.0, 1.0]])
    print(float(SpectralNorm(0.5)(kernel)))  # 0.5 * 3^2 = 4.5
    ```
    """

    def __init__(
        self,
        factor: float = 0.01,
        power_iterations: int = 5,
        axis: int | tuple[int, ...] = -1,
    ) -> None:
        self.factor: float = checks.real("factor", factor, low=0)
        self.power_iterations: int = checks.integer(
            "power_iterations", power_iterations, low=1
        )
        self.axis: int | tuple[int, ...] = checked_axis(axis)

    def _penalty(self, x: Tensor) -> Tensor:
        matrix = to_matrix(as_float32(x), self.axis)
        sigma = power_iteration.largest_singular_value(matrix, self.power_iterations)
        return ops.cast(self.factor * ops.square(sigma), x.dtype)

    def get_config(self) -> Config:
        return {
            "factor": self.factor,
            "power_iterations": self.power_iterations,
            "axis": self.axis,
        }
