"""Constraint that keeps a weight at few values after every update."""

import functools
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_strategies._internal import keras_private
from keras_strategies.compression._common.update_constraint import (
    UpdateConstraint,
    constrained_weights,
)
from keras_strategies.compression.clustering import (
    _centroid_init,
    _channel_rows,
    _kmeans_step,
)


class ClusterConstraint(UpdateConstraint):
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
        self.carrier: Any = None
        value = ops.convert_to_numpy(ops.copy(weight.value)).astype("float32")
        rows = ops.convert_to_numpy(_channel_rows.to_rows(value, axis))
        initialize = _centroid_init.initial_centroids
        if preserve_sparsity:
            # Zero is one of the n values and has no centroid.
            initialize, n = _centroid_init.initial_centroids_by_sign, n - 1
        centroids = np.stack([initialize(row, n, init) for row in rows])
        with keras_private.variables_scope(model):
            self.centroids, self.offset = (
                keras.Variable(
                    initial, dtype="float32", trainable=False, autocast=False, name=name
                )
                for initial, name in (
                    (centroids, "centroids"),
                    (np.zeros(value.shape), "offset"),
                )
            )

    def attach(self, weight: keras.Variable) -> None:
        value = ops.cast(ops.copy(weight.value), "float32")
        shared, _ = self._shared(value, ops.cast(value, "bool"), move=False)
        self.offset.assign(value - shared)
        weight.assign(ops.cast(shared, weight.dtype))
        super().attach(weight)
        self.track_state(weight)

    def detach(self, weight: keras.Variable) -> None:
        super().detach(weight)
        self._untrack_state()
        value = ops.cast(ops.copy(weight.value), "float32")
        if _channel_rows.most_distinct_values(value, self.axis) > self.n:
            # An average of weights (`use_ema`), or weights that were assigned.
            shared, _ = self._shared(value, ops.cast(value, "bool"), move=False)
            weight.assign(ops.cast(shared, weight.dtype))

    def track_state(self, weight: keras.Variable) -> None:
        """Makes the state part of the training step of JAX, a pure function.

        The step returns only variables of the model, its metrics and its optimizer,
        so centroids and offsets are added to those of the optimizer.
        """
        if keras.backend.backend() != "jax":
            return
        self._untrack_state()
        compiled = getattr(self._model(), "optimizer", None)
        if compiled is None:
            return
        # Its variables exist only then, and `owns` looks among them.
        if not compiled.built:
            compiled.build(self._model().trainable_variables)
        self.carrier = self._optimizer(weight)
        if self.carrier is not None:
            keras_private.track_unsaved_state(
                self.carrier, [self.centroids, self.offset]
            )

    def _untrack_state(self):
        if self.carrier is not None:
            keras_private.untrack_unsaved_state(
                self.carrier, [self.centroids, self.offset]
            )
            self.carrier = None

    def remember(self, value: Any) -> Any:
        return ops.cast(value, "bool")

    def scalars(self, values: Any, step: int) -> dict[str, float]:
        count = _channel_rows.most_distinct_values(values, self.axis)
        return {"cluster_values": count}

    def update(self, weight: Any, before: Any, optimizer: Any) -> Any:
        if keras_private.is_frozen_by_scope(self.offset):
            raise RuntimeError(
                f"Clustering of {self.path!r} cannot keep its state in this stateless "
                "training step. On JAX train the clustered model itself, with the "
                "optimizer that it is compiled with."
            )
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


def track_on_compile(model: keras.Model) -> None:
    """Adds the state to every optimizer that `model` is compiled with (JAX only)."""
    compile_model = model.compile
    if keras.backend.backend() != "jax" or hasattr(compile_model, "tracks_clusters"):
        return

    @functools.wraps(compile_model)
    def compile_and_track(*args: Any, **kwargs: Any) -> None:
        compile_model(*args, **kwargs)
        for weight in constrained_weights(model):
            if isinstance(weight.constraint, ClusterConstraint):
                weight.constraint.track_state(weight)

    compile_and_track.tracks_clusters = True  # type: ignore[attr-defined]
    model.compile = compile_and_track
