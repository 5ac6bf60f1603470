import math

import keras
from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable


def group_lasso(x, axis=-1):
    """Sums the Euclidean norms of groups, each times the root of the group's size.

    The gradient of a group that is entirely zero is zero, not NaN. Computed and
    returned in float32 at least: squares of small float16 weights would vanish.

    Args:
        x: Tensor, such as a kernel.
        axis: Tuple of non-negative axes that number the groups.
    """
    dtype = keras.backend.result_type(x.dtype, "float32")
    x = ops.cast(x, dtype)
    within = tuple(a for a in range(len(x.shape)) if a not in axis)
    squares = ops.sum(ops.square(x), axis=within) if within else ops.square(x)
    alive = squares > 0
    # The inner `where` keeps the infinite slope of sqrt at 0 out of the gradient.
    norms = ops.where(alive, ops.sqrt(ops.where(alive, squares, 1.0)), 0.0)
    shape = ops.shape(x)
    size = math.prod(shape[a] for a in within)
    return ops.sqrt(ops.cast(size, dtype)) * ops.sum(norms)


@serializable
class GroupLasso(keras.regularizers.Regularizer):
    """Penalizes whole units or filters, so that they go to zero together.

    L1 makes single weights zero, which saves nothing in a dense kernel. The group
    lasso makes all the weights of a unit or filter zero at once, so that the unit
    can be taken out. The penalty of a kernel `W` is

    ```
    factor * sum over groups g of sqrt(size of g) * ||W_g||
    ```

    where `W_g` are the weights of group `g` and `|| ||` is the Euclidean norm. By
    default a group is what belongs to one output: a column of a `Dense` kernel,
    one filter of a `Conv` kernel. The gradient of a group that is already zero is
    zero.

    A gradient step brings groups close to zero but seldom exactly to it; compare
    their norms with a small threshold.

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

    def __init__(self, factor=0.01, axis=-1):
        self.factor = checks.real("factor", factor, low=0)
        self.axis = _checked_axis(axis)

    def __call__(self, x):
        penalty = group_lasso(x, _positive_axes(self.axis, x.shape))
        return ops.cast(self.factor * penalty, x.dtype)

    def get_config(self):
        return {"factor": self.factor, "axis": self.axis}


def _checked_axis(axis):
    if not isinstance(axis, list | tuple):
        return checks.integer("axis", axis, fix="Give an axis or a tuple of axes.")
    if not axis or len(set(axis)) != len(axis):
        checks.fail("`axis` must name each axis once, and at least one", axis=axis)
    return tuple(checks.integer("axis", a) for a in axis)


def _positive_axes(axis, shape):
    rank = len(shape)
    axes = axis if isinstance(axis, tuple) else (axis,)
    inside = all(-rank <= a < rank for a in axes)
    positive = tuple(sorted({a % rank for a in axes})) if inside else ()
    if len(positive) != len(axes):
        checks.fail(
            "`axis` must name different axes of the weight",
            axis=axis,
            shape=tuple(shape),
            fix=f"This weight has the axes {-rank} to {rank - 1}.",
        )
    return positive
