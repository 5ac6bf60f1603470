"""Batch normalization over virtual batches."""

from typing import Any

import keras
from keras import ops

from keras_strategies._internal import bases, checks
from keras_strategies._internal.keras_private import sum_over_replicas
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Tensor


def ghost_batches(batch: Any, virtual_batch_size: int) -> Tensor:
    """Returns a matrix `(batch, batch)`: whether two samples share a ghost batch.

    Ghost batches are consecutive and their sizes differ by at most one, so that none is
    smaller than `virtual_batch_size` unless the batch is.
    """
    groups = batch // virtual_batch_size
    groups = max(groups, 1) if isinstance(groups, int) else ops.maximum(groups, 1)
    group = ops.arange(batch, dtype="int32") * groups // batch
    return ops.expand_dims(group, 1) == ops.expand_dims(group, 0)


def ghost_moments(
    x: Tensor, same: Tensor, axis: int, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns the statistics of the ghost batch of each sample.

    Args:
        x: Tensor `(batch, ...)`.
        same: Boolean matrix `(batch, batch)`, see `ghost_batches`.
        axis: Positive axis of the channels.
        mask: Valid positions, of size 1 along the channels, or `None`.

    Returns:
        The centered input; the mean and the variance `(batch, channels)`; and the
        number of valid positions of each sample, `(batch, 1)`.
    """
    rank = len(x.shape)
    axes = [i for i in range(1, rank) if i != axis]
    # A product with this matrix sums over the ghost batch of each sample: a reshape
    # needs a batch size that is a multiple, and a loop a static number of them.
    same = ops.cast(same, x.dtype)

    def sum_per_sample(values: Tensor) -> Tensor:
        values = values if mask is None else values * mask
        return ops.sum(values, axis=axes) if axes else values

    ones = ops.ones_like(ops.take(x, [0], axis=axis))
    counts = sum_per_sample(ones)
    total = ops.maximum(ops.matmul(same, counts), 1)
    broadcast_shape = [
        -1 if i == 0 else x.shape[axis] if i == axis else 1 for i in range(rank)
    ]
    mean = ops.matmul(same, sum_per_sample(x)) / total
    centered = x - ops.reshape(mean, broadcast_shape)
    variance = ops.matmul(same, sum_per_sample(ops.square(centered))) / total
    return centered, mean, variance, counts


@serializable
class GhostBatchNormalization(bases.BatchNormalization):
    """Batch normalization over small virtual batches ("ghost batches").

    The noise in the statistics of small batches regularizes; training with large
    batches lacks it and generalizes worse. This layer splits the batch into ghost
    batches, each normalized by its own mean and variance, independent of the batch
    size.

    For the samples of one ghost batch:

    ```
    training:   output = gamma * (x - mean) / sqrt(variance + epsilon) + beta
    inference:  the same with the moving averages
    ```

    Moving averages are updated with the mean of the ghost batches' statistics. If the
    batch size is no multiple of `virtual_batch_size`, the ghost batches are slightly
    larger (never smaller, unless the batch is), so that a small last batch adds no
    outliers. At inference the layer is `keras.layers.BatchNormalization`.

    Reference:

    - [Hoffer et al., 2017, Train longer, generalize better](
      https://arxiv.org/abs/1705.08741)

    Args:
        virtual_batch_size: Samples in a ghost batch, at least 1. Defaults to `32`.
        axis: Axis of the channels. Defaults to `-1`.
        momentum: Momentum of the moving averages, in `[0, 1]`. Defaults to `0.99`.
        epsilon: Added to the variance. Defaults to `1e-3`.
        **kwargs: The other arguments of `keras.layers.BatchNormalization`;
            `synchronized` and `renorm` are not supported, as they contradict it.

    Call arguments:
        inputs: Tensor of rank 2 or more.
        training: Whether ghost batches or the moving averages are used.
        mask: Valid positions, of the shape of the input without the channels.

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
        self,
        virtual_batch_size: int = 32,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        **kwargs: Any,
    ) -> None:
        for name in ("synchronized", "renorm"):
            if kwargs.get(name):
                checks.fail(
                    f"`{name}` contradicts normalization by small parts of the batch",
                    **{name: kwargs[name]},
                    fix="Use keras.layers.BatchNormalization for it.",
                )
        super().__init__(axis=axis, momentum=momentum, epsilon=epsilon, **kwargs)
        self.virtual_batch_size: int = checks.integer(
            "virtual_batch_size", virtual_batch_size, low=1
        )

    def call(
        self, inputs: Tensor, training: bool | None = None, mask: Tensor | None = None
    ) -> Tensor:
        if not (training and self.trainable):
            return super().call(inputs, training=False, mask=mask)
        # Sums overflow in half precision.
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

    def _update(
        self, moving: keras.Variable, statistic: Tensor, counts: Tensor
    ) -> None:
        # Each ghost batch is weighted by its number of valid positions.
        # Those of all replicas of tf.distribute count.
        total = sum_over_replicas(ops.sum(counts))
        current = sum_over_replicas(ops.sum(statistic * counts, axis=0))
        current = current / ops.maximum(total, 1)
        previous = ops.cast(moving, current.dtype)
        moving.assign(previous * self.momentum + current * (1 - self.momentum))

    def get_config(self) -> Config:
        return {**super().get_config(), "virtual_batch_size": self.virtual_batch_size}
