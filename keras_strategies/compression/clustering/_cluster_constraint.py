"""Constraint that keeps a weight at few values after every update."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_strategies.compression._common.stateful_constraint import StatefulConstraint
from keras_strategies.compression.clustering import (
    _centroid_init,
    _channel_rows,
    _kmeans_step,
)


class ClusterConstraint(StatefulConstraint):
    """Trains a latent weight through its shared value.

    The variable always holds centroids. The difference between the latent weight and
    its centroid, the offset, is kept in another variable. After each update

        latent = updated shared value + offset
        shared, centroids = kmeans_step(latent, centroids)
        offset = latent - shared

    so the optimizer's update of the shared value moves the latent weight, which is a
    straight-through gradient (Bengio et al., 2013).
    """

    purpose, state = "clustering", "already_clustered"

    def __init__(
        self,
        model: keras.Model,
        weight: keras.Variable,
        n: int,
        init: str,
        axis: int | None,
        preserve_sparsity: bool,
    ) -> None:
        super().__init__(model, weight)
        self.n, self.axis, self.preserve_sparsity = n, axis, preserve_sparsity
        self.zeros = preserve_sparsity
        value = ops.convert_to_numpy(ops.copy(weight.value)).astype("float32")
        rows = ops.convert_to_numpy(_channel_rows.to_rows(value, axis))
        initialize = _centroid_init.initial_centroids
        if preserve_sparsity:
            # Zero is one of the n values and has no centroid.
            initialize, n = _centroid_init.initial_centroids_by_sign, n - 1
        centroids = np.stack([initialize(row, n, init) for row in rows])
        self.centroids, self.offset = self.make_state(
            model, {"centroids": centroids, "offset": np.zeros(value.shape)}
        )

    def attach(self, weight: keras.Variable) -> None:
        value = ops.cast(ops.copy(weight.value), "float32")
        shared, _ = self._shared(value, ops.cast(value, "bool"), move=False)
        self.offset.assign(value - shared)
        weight.assign(ops.cast(shared, weight.dtype))
        super().attach(weight)

    def detach(self, weight: keras.Variable) -> None:
        super().detach(weight)
        value = ops.cast(ops.copy(weight.value), "float32")
        if _channel_rows.most_distinct_values(value, self.axis) > self.n:
            # An average of weights (`use_ema`), or weights that were assigned.
            shared, _ = self._shared(value, ops.cast(value, "bool"), move=False)
            weight.assign(ops.cast(shared, weight.dtype))

    def remember(self, value: Any) -> Any:
        return ops.cast(value, "bool")

    def scalars(self, values: Any, step: int) -> dict[str, float]:
        count = _channel_rows.most_distinct_values(values, self.axis)
        return {"cluster_values": count}

    def update(self, weight: Any, before: Any, optimizer: Any) -> Any:
        self.check_carried()
        # The latent weight, with the optimizer's update.
        value = ops.cast(ops.stop_gradient(weight), "float32") + self.offset.value
        if self.original is not None:
            value = self.original(value)
        # One k-means step: weights may join another cluster, centroids follow.
        shared, centroids = self._shared(value, before)
        self.centroids.assign(centroids)
        # Pruned weights must not drift behind their zeros.
        offset = value - shared
        if self.preserve_sparsity:
            offset = ops.where(before, offset, 0.0)
        self.offset.assign(offset)
        return ops.cast(shared, weight.dtype)

    def _shared(self, value, nonzero, move=True):
        """The value of each weight's centroid, and the centroids."""
        centroids = ops.convert_to_tensor(self.centroids.value)
        rows = _channel_rows.to_rows(value, self.axis)
        valid_mask = None
        if self.preserve_sparsity:
            # Zeros belong to no centroid and do not move any.
            valid_mask = _channel_rows.to_rows(nonzero, self.axis)
        if move:
            shared, centroids = _kmeans_step.kmeans_step(rows, centroids, valid_mask)
        else:
            shared = _kmeans_step.gather(
                _kmeans_step.nearest(rows, centroids), centroids
            )
            if valid_mask is not None:
                shared = ops.where(valid_mask, shared, 0.0)
        return _channel_rows.from_rows(shared, value.shape, self.axis), centroids
