import keras
from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.groups import as_float32, positive_axes
from keras_strategies._internal.registration import serializable


def kl_sparsity(mean, target):
    """Sum of `KL(target || mean)` of Bernoulli variables, for means of any value.

    Near 0 and 1 and beyond, where the divergence has no value, its tangent goes on,
    so that the gradient is finite and leads back everywhere.
    """
    edge = min(1e-3, target / 2, (1 - target) / 2)
    inside = ops.stop_gradient(ops.clip(mean, edge, 1 - edge))
    on = target * ops.log(target / inside)
    off = (1 - target) * ops.log((1 - target) / (1 - inside))
    slope = (1 - target) / (1 - inside) - target / inside
    # The last term is 0 inside; its gradient is the right one everywhere.
    return ops.sum(on + off + slope * (mean - inside))


@serializable
class KLSparsity(keras.regularizers.Regularizer):
    """Makes each unit active for a small part of the samples only.

    The penalty of sparse autoencoders: an L1 activity regularizer makes all
    activations small, this one asks for a mean activation of `target` for each
    unit, so that few units are active for a sample but none is dead for all. It goes
    into `activity_regularizer` of a layer whose outputs lie in [0, 1], such as one
    with a sigmoid, and adds to the loss

    ```
    factor * sum over units j of  target * log(target / m_j)
                                + (1 - target) * log((1 - target) / (1 - m_j))
    ```

    where `m_j` is the mean output of unit `j` over the batch (and over places, for
    images and sequences): take batches that are large enough to show a mean of
    `target`. At means within 0.001 of 0 and 1 and outside of [0, 1] the tangent of
    the curve takes its place, so that dead units come back. Keras divides what an
    activity regularizer returns by the batch size, so a direct call returns the
    penalty times the batch size.

    Reference:

    - [Ng, 2011, Sparse autoencoder (CS294A lecture notes)](
      https://web.stanford.edu/class/cs294a/sparseAutoencoder.pdf)

    Args:
        factor: Strength of the penalty, at least 0. Defaults to `1e-3`.
        target: The wanted mean activation, in (0, 1). Defaults to `0.05`.
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

    def __init__(self, factor=1e-3, target=0.05, axis=-1):
        self.factor = checks.real("factor", factor, low=0)
        self.target = checks.real(
            "target", target, low=0, high=1, low_open=True, high_open=True
        )
        self.axis = checks.integer("axis", axis)

    def __call__(self, x):
        [axis] = positive_axes(self.axis, x.shape)
        if axis == 0:
            checks.fail(
                "`axis` must be the axis of the units, not that of the batch",
                axis=self.axis,
                shape=tuple(x.shape),
            )
        x = as_float32(x)
        others = tuple(a for a in range(len(x.shape)) if a != axis)
        penalty = self.factor * kl_sparsity(ops.mean(x, axis=others), self.target)
        return penalty * ops.cast(ops.shape(x)[0], penalty.dtype)

    def get_config(self):
        return {"factor": self.factor, "target": self.target, "axis": self.axis}
