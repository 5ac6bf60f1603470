"""Kullback-Leibler sparsity penalty on activations."""

from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Tensor
from keras_strategies._internal.weights.kernel_axes import as_float32, positive_axes
from keras_strategies.regularizers._batch_penalty import BatchPenalty


def kl_sparsity(mean: Tensor, target: float) -> Tensor:
    """Returns the sum of `KL(target || mean)` of Bernoulli variables.

    Near 0 and 1 and outside of them, where the divergence is not defined, its tangent
    continues it, so that the gradient is finite and points back everywhere.
    """
    edge = min(1e-3, target / 2, (1 - target) / 2)
    inside = ops.stop_gradient(ops.clip(mean, edge, 1 - edge))
    on = target * ops.log(target / inside)
    off = (1 - target) * ops.log((1 - target) / (1 - inside))
    slope = (1 - target) / (1 - inside) - target / inside
    # The last term is 0 inside of the interval; its gradient is exact everywhere,
    # because `inside` is a constant.
    return ops.sum(on + off + slope * (mean - inside))


@serializable
class KLSparsity(BatchPenalty):
    """Penalizes units whose mean activation differs from a small target.

    The penalty of sparse autoencoders: an L1 activity regularizer makes all activations
    small, this one drives the mean activation of each unit to `target`, so that few
    units are active for a sample but none is inactive for all. Pass it as
    `activity_regularizer` to a layer whose outputs lie in [0, 1], such as one with a
    sigmoid. It adds to the loss

    ```
    factor * sum over units j of  target * log(target / m_j)
                                + (1 - target) * log((1 - target) / (1 - m_j))
    ```

    where `m_j` is the mean output of unit `j` over the batch (and over positions, for
    images and sequences): batches must be large enough to estimate a mean of `target`.
    At means within 0.001 of 0 and 1 and outside of [0, 1] the curve is continued by its
    tangent, so that inactive units recover. Keras divides the result of an activity
    regularizer by the batch size; a direct call therefore returns the penalty times the
    batch size.

    Reference:

    - [Ng, 2011, Sparse autoencoder (CS294A lecture notes)](
      https://web.stanford.edu/class/cs294a/sparseAutoencoder.pdf)

    Args:
        factor: Strength of the penalty, at least 0. Defaults to `1e-3`.
        target: Target of the mean activation, in (0, 1). Defaults to `0.05`.
        axis: The axis of the units. Defaults to `-1`.

    Raises:
        ValueError: If an argument is out of its range or, when called, if the output
            has no such axis or it is that of the batch.

    Example:

    ```python
    import keras
    from keras_strategies.regularizers import KLSparsity

    code = keras.layers.Dense(
        64, activation="sigmoid", activity_regularizer=KLSparsity(1e-3, target=0.05)
    )

    print(float(KLSparsity(1.0, target=0.5)(keras.ops.array([[0.5], [0.5]]))))  # 0.0
    ```
    """

    def __init__(
        self, factor: float = 1e-3, target: float = 0.05, axis: int = -1
    ) -> None:
        self.factor: float = checks.real("factor", factor, low=0)
        self.target: float = checks.real(
            "target", target, low=0, high=1, low_open=True, high_open=True
        )
        self.axis: int = checks.integer("axis", axis)

    def _penalty(self, x: Tensor) -> Tensor:
        [axis] = positive_axes(self.axis, x.shape)
        if axis == 0:
            checks.fail(
                "`axis` must be the axis of the units, not that of the batch",
                axis=self.axis,
                shape=tuple(x.shape),
            )
        x = as_float32(x)
        reduced = tuple(a for a in range(len(x.shape)) if a != axis)
        penalty = self.factor * kl_sparsity(ops.mean(x, axis=reduced), self.target)
        return penalty * ops.cast(ops.shape(x)[0], penalty.dtype)

    def get_config(self) -> Config:
        return {"factor": self.factor, "target": self.target, "axis": self.axis}
