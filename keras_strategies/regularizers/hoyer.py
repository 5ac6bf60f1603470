import keras
from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.groups import (
    as_float32,
    checked_axis,
    magnitudes,
    safe_root,
)
from keras_strategies._internal.registration import serializable


def hoyer(sizes, squared=True):
    """Hoyer's measure of non-negative `sizes`, squared or not; 0 if all are zero."""
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
class Hoyer(keras.regularizers.Regularizer):
    """Makes weights sparse without shrinking those that stay.

    L1 pulls all weights towards zero with the same force, large and useful ones
    too. Hoyer's measure does not change when all weights are scaled, so it only
    moves magnitude from small weights to large ones: its gradient makes weights
    below a threshold smaller and those above it larger. For weights `w` it is

    ```
    squared=True:   factor * (sum |w|)^2 / sum(w^2)       in [1, n] * factor
    squared=False:  factor * sum |w| / sqrt(sum(w^2))     in [1, sqrt(n)] * factor
    ```

    where `n` is the number of weights. It is about the number of weights that are
    not zero (or its root). With an `axis` the Euclidean norms of groups take the
    place of `|w|`, which makes whole units or filters zero. A weight that is zero
    everywhere has penalty and gradient 0.

    Reference:

    - [Yang et al., 2020, DeepHoyer: Learning Sparser Neural Network with
      Differentiable Scale-Invariant Sparsity Measures](
      https://arxiv.org/abs/1908.09979)
    - [Hoyer, 2004, Non-negative matrix factorization with sparseness
      constraints](https://arxiv.org/abs/cs/0408058)

    Args:
        factor: Strength of the penalty, at least 0. Defaults to `1e-4`.
        squared: Whether to take the square of the measure, whose gradient spares
            large weights more. Defaults to `True`.
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

    def __init__(self, factor=1e-4, squared=True, axis=None):
        self.factor = checks.real("factor", factor, low=0)
        self.squared = checks.boolean("squared", squared)
        self.axis = checked_axis(axis, optional=True)

    def __call__(self, x):
        sizes = magnitudes(as_float32(x), self.axis)
        return ops.cast(self.factor * hoyer(sizes, self.squared), x.dtype)

    def get_config(self):
        return {"factor": self.factor, "squared": self.squared, "axis": self.axis}
