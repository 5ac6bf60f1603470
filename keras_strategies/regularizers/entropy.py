"""Entropy regularizer for sparse kernels."""

from typing import Literal

from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Tensor
from keras_strategies._internal.weights.kernel_axes import (
    as_float32,
    checked_axis,
    magnitudes,
)
from keras_strategies.regularizers._batch_penalty import BatchPenalty


def entropy(masses: Tensor) -> Tensor:
    """Returns the Shannon entropy in nats of non-negative numbers over their sum.

    0 if all are zero. A number of 0 contributes nothing and has the gradient 0.
    """
    total = ops.sum(masses)
    p = masses / ops.where(total > 0, total, 1.0)
    # The inner `where` keeps log(0) out of the value and of the gradient.
    return -ops.sum(p * ops.log(ops.where(p > 0, p, 1.0)))


@serializable
class Entropy(BatchPenalty):
    """Penalizes the entropy of a kernel, to concentrate it in few weights.

    The magnitudes of the weights are interpreted as a distribution. Low entropy means
    that few weights have nearly all of the magnitude, so that the others can be pruned.
    Like `Hoyer` it is invariant to the scale of the kernel, so that the remaining
    weights do not shrink. For weights `w`

    ```
    p_i = |w_i|^power / sum_j |w_j|^power
    penalty = factor * -sum_i p_i * log(p_i)      in [0, log(n)] * factor
    ```

    where `n` is the number of weights and `log` the natural logarithm; its
    exponential is an effective number of weights. With an `axis` the Euclidean norms of
    groups replace `|w|`, which drives whole units or filters to zero. A kernel of zeros
    has penalty and gradient 0.

    References:

    - [Rao and Kreutz-Delgado, 1999, An affine scaling methodology for best basis
      selection](https://doi.org/10.1109/78.738251)
    - [Hurley and Rickard, 2009, Comparing measures of sparsity](
      https://arxiv.org/abs/0811.4706)

    Args:
        factor: Strength of the penalty, at least 0. Defaults to `1e-3`.
        power: Exponent of the magnitudes, `1` or `2`; `2` penalizes weights of medium
            magnitude more. Defaults to `1`.
        axis: `None`, every weight by itself, or an integer or tuple of integers:
            the axes that number the groups, as in `GroupLasso`. Defaults to `None`.

    Raises:
        ValueError: If `factor` is negative, if `power` is not 1 or 2, or if `axis`
            has a repeated axis or, when called, one that the weight does not have.

    Example:

    ```python
    import keras
    from keras_strategies.regularizers import Entropy

    layer = keras.layers.Dense(64, kernel_regularizer=Entropy(1e-3))

    print(float(Entropy(1.0)(keras.ops.ones((8,)))))  # log(8) = 2.0794
    ```
    """

    def __init__(
        self,
        factor: float = 1e-3,
        power: Literal[1, 2] = 1,
        axis: int | tuple[int, ...] | None = None,
    ) -> None:
        self.factor: float = checks.real("factor", factor, low=0)
        self.power: int = checks.choice("power", power, (1, 2))
        self.axis: int | tuple[int, ...] | None = checked_axis(axis, optional=True)

    def _penalty(self, x: Tensor) -> Tensor:
        sizes = magnitudes(as_float32(x), self.axis)
        masses = ops.square(sizes) if self.power == 2 else sizes
        return ops.cast(self.factor * entropy(masses), x.dtype)

    def get_config(self) -> Config:
        return {"factor": self.factor, "power": self.power, "axis": self.axis}
