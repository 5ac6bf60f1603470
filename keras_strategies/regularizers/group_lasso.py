"""Group lasso: a penalty on whole units or filters."""

from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Tensor
from keras_strategies._internal.weights.kernel_axes import (
    as_float32,
    checked_axis,
    group_norms,
    positive_axes,
)
from keras_strategies.regularizers._batch_penalty import BatchPenalty


def group_lasso(x: Tensor, axis: int | tuple[int, ...] = -1) -> Tensor:
    """Returns the sum of the norms of groups, each times the root of its size.

    The gradient of a group that is entirely zero is zero, not NaN. Computed and
    returned in float32 at least: squares of small float16 weights would vanish.

    Args:
        x: Tensor, such as a kernel.
        axis: Tuple of non-negative axes that number the groups.
    """
    x = as_float32(x)
    norms, size = group_norms(x, axis)
    return ops.sqrt(ops.cast(size, x.dtype)) * ops.sum(norms)


@serializable
class GroupLasso(BatchPenalty):
    """Penalizes the norms of whole units or filters, which drives them to zero.

    L1 makes single weights zero, which saves nothing in a dense kernel. The group lasso
    makes all weights of a unit or filter zero together, so that the unit can be
    removed. The penalty of a kernel `W` is

    ```
    factor * sum over groups g of sqrt(size of g) * ||W_g||
    ```

    where `W_g` are the weights of group `g` and `|| ||` is the Euclidean norm. By
    default a group is the part of one output: a column of a `Dense` kernel,
    one filter of a `Conv` kernel. The gradient of a group that is already zero is
    zero.

    Gradient steps bring groups close to zero but rarely to exactly zero; compare their
    norms with a small threshold.

    References:

    - [Yuan and Lin, 2006, Model selection and estimation in regression with
      grouped variables](https://doi.org/10.1111/j.1467-9868.2005.00532.x)
    - [Scardapane et al., 2017, Group sparse regularization for deep neural
      networks](https://arxiv.org/abs/1607.00485)

    Args:
        factor: Strength of the penalty, at least 0. Defaults to `0.01`.
        axis: Integer or tuple of integers: the axes of the weight that number the
            groups; all other axes lie within a group. `-1` groups by output
            unit or filter, `0` by input feature of a `Dense` kernel, `(-2, -1)`
            by filter of a `DepthwiseConv2D` kernel, `-2` by filter of a
            `Conv2DTranspose` kernel. Defaults to `-1`.

    Raises:
        ValueError: If `factor` is negative, or if `axis` has a repeated axis or,
            when called, one that the weight does not have.

    Example:

    ```python
    import keras
    from keras_strategies.regularizers import GroupLasso

    layer = keras.layers.Conv2D(32, 3, kernel_regularizer=GroupLasso(1e-3))
    by_input = keras.layers.Dense(10, kernel_regularizer=GroupLasso(1e-3, axis=0))

    penalty = GroupLasso(0.5)(keras.ops.array([[3.0, 0.0], [4.0, 0.0]]))
    print(float(penalty))  # 0.5 * sqrt(2) * (5 + 0) = 3.5355
    ```
    """

    def __init__(self, factor: float = 0.01, axis: int | tuple[int, ...] = -1) -> None:
        self.factor: float = checks.real("factor", factor, low=0)
        self.axis: int | tuple[int, ...] = checked_axis(axis)

    def _penalty(self, x: Tensor) -> Tensor:
        penalty = group_lasso(x, positive_axes(self.axis, x.shape))
        return ops.cast(self.factor * penalty, x.dtype)

    def get_config(self) -> Config:
        return {"factor": self.factor, "axis": self.axis}
