"""Log-barrier penalty that bounds the magnitude of weights."""

import math

from keras import ops

from keras_strategies._internal import bases, checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Tensor
from keras_strategies._internal.weights.kernel_axes import as_float32


def log_barrier(ratio: Tensor, margin: float = 0.01) -> Tensor:
    """Returns `-log(1 - r^2)` of each ratio, from `|r| = 1 - margin` on its tangent.

    Args:
        ratio: Tensor of weights divided by their limit.
        margin: Distance from 1 at which the tangent begins, in (0, 1).
    """
    size = ops.abs(ratio)
    edge = 1.0 - margin
    inside = size <= edge
    # The inner `where` keeps logarithms of what is not positive out of the gradient.
    curve = -ops.log1p(-ops.square(ops.where(inside, ratio, 0.0)))
    gap = margin * (2.0 - margin)  # 1 - edge^2
    line = 2 * edge / gap * (size - edge) - math.log(gap)
    return ops.where(inside, curve, line)


@serializable
class LogBarrier(bases.Regularizer):
    """Keeps weights inside a range by a barrier that rises towards its limit.

    Small weights are penalized little, as by a weak weight decay, and weights near the
    limit increasingly. Use it to keep the range of a kernel narrow for quantization,
    whose step is the range divided by 255, or to prevent single large weights. Unlike
    `keras.constraints` it does not clip. The penalty is a sum over the weights `w`,
    with `r = |w| / limit`:

    ```
    r <= 1 - margin:  factor * -log(1 - r^2)
    beyond:           factor * (its tangent at r = 1 - margin)
    ```

    The logarithmic barrier is not defined at the limit and beyond, where a step of the
    optimizer may move a weight. The tangent continues it: value and slope are
    continuous and finite everywhere, and a weight outside is moved back.

    References:

    - [Boyd and Vandenberghe, 2004, Convex Optimization, chapter 11](
      https://web.stanford.edu/~boyd/cvxbook/)
    - [Kervadec et al., 2019, Constrained deep networks: Lagrangian optimization via
      log-barrier extensions](https://arxiv.org/abs/1904.04205)

    Args:
        factor: Strength of the penalty, at least 0. Defaults to `1e-4`.
        limit: The largest allowed magnitude of weights, greater than 0.
            Defaults to `1.0`.
        margin: The fraction of the range below the limit in which the barrier is
            linear, in (0, 1). The slope there, the largest, is about
            `factor / (limit * margin)`. Defaults to `0.01`.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    ```python
    import keras
    from keras_strategies.regularizers import LogBarrier

    layer = keras.layers.Dense(64, kernel_regularizer=LogBarrier(1e-4, limit=0.5))

    print(float(LogBarrier(1.0)(keras.ops.array([0.0, 0.5]))))  # -log(0.75) = 0.2877
    ```
    """

    def __init__(
        self, factor: float = 1e-4, limit: float = 1.0, margin: float = 0.01
    ) -> None:
        self.factor: float = checks.real("factor", factor, low=0)
        self.limit: float = checks.real("limit", limit, low=0, low_open=True)
        self.margin: float = checks.real(
            "margin", margin, low=0, high=1, low_open=True, high_open=True
        )

    def __call__(self, x: Tensor) -> Tensor:
        barrier = ops.sum(log_barrier(as_float32(x) / self.limit, self.margin))
        return ops.cast(self.factor * barrier, x.dtype)

    def get_config(self) -> Config:
        return {"factor": self.factor, "limit": self.limit, "margin": self.margin}
