"""Group lasso with L1 and L2 parts."""

from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Tensor
from keras_strategies._internal.weights.kernel_axes import (
    absolute,
    as_float32,
    checked_axis,
    positive_axes,
)
from keras_strategies.regularizers._batch_penalty import BatchPenalty
from keras_strategies.regularizers.group_lasso import group_lasso


def elastic_group_lasso(
    x: Tensor, factor: float, l1: float, l2: float, axis: int | tuple[int, ...] = -1
) -> Tensor:
    """Returns the weighted sum of the group lasso, of `|x|` and of squares.

    Computed in float32 at least.

    Args:
        x: Tensor, such as a kernel.
        factor: Weight of the group lasso.
        l1: Weight of the sum of `|x|`.
        l2: Weight of the sum of squares.
        axis: Tuple of non-negative axes that number the groups.
    """
    x = as_float32(x)
    penalty = factor * group_lasso(x, axis)
    return penalty + l1 * ops.sum(absolute(x)) + l2 * ops.sum(ops.square(x))


@serializable
class ElasticGroupLasso(BatchPenalty):
    """Group lasso with an L1 and an L2 part: sparse across and within groups.

    The group lasso alone removes whole units or filters, but keeps every weight of the
    remaining ones, and of several correlated units it keeps an arbitrary one. The L1
    part makes the remaining units sparse too (*sparse group lasso*), the L2 part keeps
    correlated units together (*group elastic net*). The penalty of a kernel `W` is

    ```
    factor * sum over groups g of sqrt(size of g) * ||W_g||
        + l1 * sum(|W|) + l2 * sum(W^2)
    ```

    where `W_g` are the weights of group `g` and `|| ||` is the Euclidean norm. The
    gradient of the first two terms at zero is zero.

    References:

    - [Simon et al., 2013, A Sparse-Group Lasso](
      https://doi.org/10.1080/10618600.2012.681250)
    - [Scardapane et al., 2017, Group sparse regularization for deep neural
      networks](https://arxiv.org/abs/1607.00485)
    - [Zou and Hastie, 2005, Regularization and variable selection via the elastic
      net](https://doi.org/10.1111/j.1467-9868.2005.00503.x)

    Args:
        factor: Strength of the group lasso, at least 0. Defaults to `0.01`.
        l1: Strength of the L1 part, at least 0. Defaults to `0.01`.
        l2: Strength of the L2 part, at least 0. Defaults to `0.01`.
        axis: Integer or tuple of integers: the axes of the weight that number the
            groups, as in `GroupLasso`. Defaults to `-1`, one group for each unit
            or filter.

    Raises:
        ValueError: If a strength is negative, or if `axis` has a repeated axis or,
            when called, one that the weight does not have.

    Example:

    ```python
    import keras
    from keras_strategies.regularizers import ElasticGroupLasso

    penalty = ElasticGroupLasso(factor=1e-3, l1=1e-4, l2=1e-4)
    layer = keras.layers.Conv2D(32, 3, kernel_regularizer=penalty)

    penalty = ElasticGroupLasso(factor=0.0, l1=1.0, l2=0.1)
    print(float(penalty(keras.ops.array([[3.0], [-4.0]]))))  # 7 + 0.1 * 25 = 9.5
    ```
    """

    def __init__(
        self,
        factor: float = 0.01,
        l1: float = 0.01,
        l2: float = 0.01,
        axis: int | tuple[int, ...] = -1,
    ) -> None:
        self.factor: float = checks.real("factor", factor, low=0)
        self.l1: float = checks.real("l1", l1, low=0)
        self.l2: float = checks.real("l2", l2, low=0)
        self.axis: int | tuple[int, ...] = checked_axis(axis)

    def _penalty(self, x: Tensor) -> Tensor:
        axis = positive_axes(self.axis, x.shape)
        penalty = elastic_group_lasso(x, self.factor, self.l1, self.l2, axis)
        return ops.cast(penalty, x.dtype)

    def get_config(self) -> Config:
        return {
            "factor": self.factor,
            "l1": self.l1,
            "l2": self.l2,
            "axis": self.axis,
        }
