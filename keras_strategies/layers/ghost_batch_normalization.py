import keras
from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable


def ghost_batches(batch, virtual_batch_size):
    """A matrix `(batch, batch)`: 1 where two samples are in one ghost batch.

    Ghost batches are consecutive and differ by one sample at most, so that none is
    smaller than asked unless the batch is.
    """
    groups = batch // virtual_batch_size
    groups = max(groups, 1) if isinstance(groups, int) else ops.maximum(groups, 1)
    group = ops.arange(batch, dtype="int32") * groups // batch
    return ops.expand_dims(group, 1) == ops.expand_dims(group, 0)


def ghost_moments(x, same, axis, mask=None):
    """Mean and variance of the ghost batch of each sample.

    Args:
        x: Tensor `(batch, ...)`.
        same: Boolean matrix `(batch, batch)`, see `ghost_batches`.
        axis: Positive axis of the channels.
        mask: What counts, with 1 in place of the channels, or `None`.

    Returns:
        The centered input; the mean and the variance `(batch, channels)`; and the
        number of places of each sample that count, `(batch, 1)`.
    """
    rank = len(x.shape)
    axes = [i for i in range(1, rank) if i != axis]
    same = ops.cast(same, x.dtype)

    def by_sample(values):
        values = values if mask is None else values * mask
        return ops.sum(values, axis=axes) if axes else values

    ones = ops.ones_like(ops.take(x, [0], axis=axis))
    counts = by_sample(ones)
    total = ops.maximum(ops.matmul(same, counts), 1)
    wide = [-1 if i == 0 else x.shape[axis] if i == axis else 1 for i in range(rank)]
    mean = ops.matmul(same, by_sample(x)) / total
    centered = x - ops.reshape(mean, wide)
    variance = ops.matmul(same, by_sample(ops.square(centered))) / total
    return centered, mean, variance, counts


@serializable
class GhostBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalization over small parts of the batch.

    The noise in the statistics of small batches regularizes; training with large
    batches loses it and generalizes worse. Here the batch is split into ghost batches,
    each normalized by its own mean and variance, whatever the batch size.

    For the samples of one ghost batch:

    ```
    training:   output = gamma * (x - mean) / sqrt(variance + epsilon) + beta
    inference:  the same with the moving averages
    ```

    Moving averages take the mean of the ghost batches' statistics. If the batch size is
    no multiple of `virtual_batch_size`, the ghost batches are somewhat larger (never
    smaller, unless the batch is), so a last batch of few samples adds no wild values.
    At inference the layer is `keras.layers.BatchNormalization`.

    Reference:

    - [Hoffer et al., 2017, Train longer, generalize better](
      https://arxiv.org/abs/1705.08741)

    Args:
        virtual_batch_size: Samples in a ghost batch, at least 1. Defaults to `32`.
        axis: Axis of the channels. Defaults to `-1`.
        momentum: Momentum of the moving averages, in `[0, 1]`. Defaults to `0.99`.
        epsilon: Added to the variance. Defaults to `1e-3`.
        **kwargs: The other arguments of `keras.layers.BatchNormalization`;
            `synchronized` and `renorm` are refused, as they undo what this layer does.

    Call arguments:
        inputs: Tensor of rank 2 or more.
        training: Whether ghost batches or the moving averages are used.
        mask: What counts, of the shape of the input without the channels.

    Input shape:
        `(batch, ..., channels)`.

    Output shape:
        The shape of the input.

    Raises:
        ValueError: If an argument is out of range, or if `synchronized` or `renorm` is
            set.

    Example:

    ```python
    import keras
    from keras_strategies.layers import GhostBatchNormalization

    model = keras.Sequential(
        [keras.Input((16,)), keras.layers.Dense(32), GhostBatchNormalization(64)]
    )
    ```
    """

    def __init__(
        self, virtual_batch_size=32, axis=-1, momentum=0.99, epsilon=1e-3, **kwargs
    ):
        for name in ("synchronized", "renorm"):
            if kwargs.get(name):
                checks.fail(
                    f"`{name}` contradicts normalization by small parts of the batch",
                    **{name: kwargs[name]},
                    fix="Use keras.layers.BatchNormalization for it.",
                )
        super().__init__(axis=axis, momentum=momentum, epsilon=epsilon, **kwargs)
        self.virtual_batch_size = checks.integer(
            "virtual_batch_size", virtual_batch_size, low=1
        )

    def call(self, inputs, training=None, mask=None):
        if not (training and self.trainable):
            return super().call(inputs, training=False, mask=mask)
        # Sums of half precision numbers overflow.
        dtype = keras.backend.result_type(inputs.dtype, "float32")
        axis = self.axis % len(inputs.shape)
        if mask is not None:
            mask = ops.cast(ops.expand_dims(mask, axis), dtype)
        same = ghost_batches(ops.shape(inputs)[0], self.virtual_batch_size)
        centered, mean, variance, counts = ghost_moments(
            ops.cast(inputs, dtype), same, axis, mask
        )
        self._update(self.moving_mean, mean, counts)
        self._update(self.moving_variance, variance, counts)
        shape = [1] * len(inputs.shape)
        shape[0], shape[axis] = -1, inputs.shape[axis]
        factor = ops.rsqrt(variance + self.epsilon)
        if self.scale:
            factor = factor * ops.cast(self.gamma, dtype)
        outputs = centered * ops.reshape(factor, shape)
        if self.center:
            outputs = outputs + ops.reshape(ops.cast(self.beta, dtype), shape)
        return ops.cast(outputs, self.compute_dtype)

    def _update(self, moving, statistic, counts):
        share = counts / ops.maximum(ops.sum(counts), 1)
        now = ops.sum(statistic * share, axis=0)
        before = ops.cast(moving, now.dtype)
        moving.assign(before * self.momentum + now * (1 - self.momentum))

    def get_config(self):
        return {**super().get_config(), "virtual_batch_size": self.virtual_batch_size}
