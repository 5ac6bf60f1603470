import keras
from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.groups import (
    as_float32,
    checked_axis,
    magnitudes,
)
from keras_strategies._internal.registration import serializable


def entropy(shares):
    """Shannon entropy in nats of non-negative numbers divided by their sum.

    0 if all are zero. A share of 0 adds nothing and has the gradient 0.
    """
    total = ops.sum(shares)
    p = shares / ops.where(total > 0, total, 1.0)
    # The inner `where` keeps log(0) out of the value and of the gradient.
    return -ops.sum(p * ops.log(ops.where(p > 0, p, 1.0)))


@serializable
class Entropy(keras.regularizers.Regularizer):
    """Concentrates the magnitude of a kernel in few weights, by its entropy.

    The weights are read as shares of a whole. Low entropy means that few weights
    hold nearly all of it, so that the others can be pruned. Like `Hoyer` it does
    not change when all weights are scaled, so nothing shrinks that is needed. For
    weights `w`

    ```
    p_i = |w_i|^power / sum_j |w_j|^power
    penalty = factor * -sum_i p_i * log(p_i)      in [0, log(n)] * factor
    ```

    where `n` is the number of weights and `log` the natural logarithm; its
    exponential is an effective number of weights. With an `axis` the Euclidean
    norms of groups take the place of `|w|`, which empties whole units or filters. A
    weight that is zero everywhere has penalty and gradient 0.

    References:

    - [Rao and Kreutz-Delgado, 1999, An affine scaling methodology for best basis
      selection](https://doi.org/10.1109/78.738251)
    - [Hurley and Rickard, 2009, Comparing measures of sparsity](
      https://arxiv.org/abs/0811.4706)

    Args:
        factor: Strength of the penalty, at least 0. Defaults to `1e-3`.
        power: `1`, shares of the sum of magnitudes, or `2`, shares of the sum of
            squares, which spares middling weights less. Defaults to `1`.
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

    def __init__(self, factor=1e-3, power=1, axis=None):
        self.factor = checks.real("factor", factor, low=0)
        self.power = checks.choice("power", power, (1, 2))
        self.axis = checked_axis(axis, optional=True)

    def __call__(self, x):
        sizes = magnitudes(as_float32(x), self.axis)
        shares = ops.square(sizes) if self.power == 2 else sizes
        return ops.cast(self.factor * entropy(shares), x.dtype)

    def get_config(self):
        return {"factor": self.factor, "power": self.power, "axis": self.axis}
