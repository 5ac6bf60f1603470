"""Hoyer's sparsity measure as a regularizer."""

from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Tensor
from keras_strategies._internal.weights.kernel_axes import (
    as_float32,
    checked_axis,
    magnitudes,
    safe_root,
)
from keras_strategies.regularizers._batch_penalty import BatchPenalty


def hoyer(sizes: Tensor, squared: bool = True) -> Tensor:
    """Returns Hoyer's measure of non-negative `sizes`; 0 if all are zero."""
    total = ops.sum(sizes)
    squares = ops.sum(ops.square(sizes))
    alive = squares > 0
    # The inner `where` keeps 0 / 0 out of the gradient.
    if squared:
        ratio = ops.square(total) / ops.where(alive, squares, 1.0)
    else:
        ratio = total / ops.where(alive, safe_root(squares), 1.0)
    return ops.where(alive, ratio, 0.0)


@serializable
class Hoyer(BatchPenalty):
    """Makes weights sparse without shrinking the remaining ones.

    L1 shrinks all weights equally, also large and useful ones. Hoyer's measure is
    invariant to the scale of the weights, so that it only moves magnitude from small
    weights to large ones: its gradient makes weights below a threshold smaller and
    those above it larger. For weights `w` it is

    ```
    squared=True:   factor * (sum |w|)^2 / sum(w^2)       in [1, n] * factor
    squared=False:  factor * sum |w| / sqrt(sum(w^2))     in [1, sqrt(n)] * factor
    ```

    where `n` is the number of weights. It approximates the number of non-zero weights
    (or its root). With an `axis` the Euclidean norms of groups replace `|w|`, which
    makes whole units or filters zero. A kernel of zeros has penalty and gradient 0.

    Reference:

    - [Yang et al., 2020, DeepHoyer: Learning Sparser Neural Network with
      Differentiable Scale-Invariant Sparsity Measures](
      https://arxiv.org/abs/1908.09979)
    - [Hoyer, 2004, Non-negative matrix factorization with sparseness
      constraints](https://arxiv.org/abs/cs/0408058)

    Args:
        factor: Strength of the penalty, at least 0. Defaults to `1e-4`.
        squared: Whether to square the measure, whose gradient then shrinks large
            weights less. Defaults to `True`.
        axis: `None`, every weight by itself, or an integer or tuple of integers:
            the axes that number the groups, as in `GroupLasso`. Defaults to `None`.

    Raises:
        ValueError: If `factor` is negative, or if `axis` has a repeated axis or,
            when called, one that the weight does not have.

    Example:

    ```python
    import keras
    from keras_strategies.regularizers import Hoyer

    layer = keras.layers.Dense(64, kernel_regularizer=Hoyer(1e-4))

    dense, sparse = keras.ops.ones((4,)), keras.ops.array([1.0, 0.0, 0.0, 0.0])
    print(float(Hoyer(1.0)(dense)), float(Hoyer(1.0)(sparse)))  # 4.0 1.0
    ```
    """

    def __init__(
        self,
        factor: float = 1e-4,
        squared: bool = True,
        axis: int | tuple[int, ...] | None = None,
    ) -> None:
        self.factor: float = checks.real("factor", factor, low=0)
        self.squared: bool = checks.boolean("squared", squared)
        self.axis: int | tuple[int, ...] | None = checked_axis(axis, optional=True)

    def _penalty(self, x: Tensor) -> Tensor:
        sizes = magnitudes(as_float32(x), self.axis)
        return ops.cast(self.factor * hoyer(sizes, self.squared), x.dtype)

    def get_config(self) -> Config:
        return {"factor": self.factor, "squared": self.squared, "axis": self.axis}
