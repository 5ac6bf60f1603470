"""The constraint that keeps one weight at few values after every update."""

import contextlib
import functools

import keras
import numpy as np
from keras import ops

from keras_strategies._internal import keras_private
from keras_strategies.compression._common.update_constraint import (
    UpdateConstraint,
    constrained_weights,
)
from keras_strategies.compression.clustering import _centroid_init, _kmeans_step


class ClusterConstraint(UpdateConstraint):
    """Trains a weight behind its shared values.

    The variable holds centroids only. What each weight has on top of its centroid,
    the offset, is kept beside it: the update that the optimizer made to the shared
    value goes to weight = value + offset, as a straight-through gradient does, and
    value and offset are parted anew.
    """

    purpose, state = "clustering", "already_clustered"

    def __init__(self, model, weight, n, init, axis, preserve_sparsity):
        super().__init__(model, weight)
        self.n, self.axis, self.preserve_sparsity = n, axis, preserve_sparsity
        self.carrier = None
        value = ops.convert_to_numpy(ops.copy(weight.value)).astype("float32")
        rows = ops.convert_to_numpy(_kmeans_step.to_rows(value, axis))
        start = _centroid_init.initial
        if preserve_sparsity:
            start, n = _centroid_init.initial_by_sign, n - 1
        centroids = np.stack([start(row, n, init) for row in rows])
        with _scope(model):
            self.centroids, self.offset = (
                keras.Variable(
                    start, dtype="float32", trainable=False, autocast=False, name=name
                )
                for start, name in (
                    (centroids, "centroids"),
                    (np.zeros(value.shape), "offset"),
                )
            )

    def attach(self, weight):
        value = ops.cast(ops.copy(weight.value), "float32")
        shared, _ = self._shared(value, ops.cast(value, "bool"), move=False)
        self.offset.assign(value - shared)
        weight.assign(ops.cast(shared, weight.dtype))
        super().attach(weight)
        self.carry(weight)

    def detach(self, weight):
        super().detach(weight)
        self._drop()
        value = ops.cast(ops.copy(weight.value), "float32")
        if values_a_row(ops.convert_to_numpy(value), self.axis) > self.n:
            # An average of weights, or weights assigned from elsewhere.
            shared, _ = self._shared(value, ops.cast(value, "bool"), move=False)
            weight.assign(ops.cast(shared, weight.dtype))

    def carry(self, weight):
        """Makes the state part of a training step that is a pure function."""
        if keras.backend.backend() != "jax":
            return
        self._drop()
        compiled = getattr(self._model(), "optimizer", None)
        if compiled is None:
            return
        if not compiled.built:
            compiled.build(self._model().trainable_variables)
        self.carrier = self._optimizer(weight)
        if self.carrier is not None:
            keras_private.carry(self.carrier, [self.centroids, self.offset])

    def _drop(self):
        if self.carrier is not None:
            keras_private.stop_carrying(self.carrier, [self.centroids, self.offset])
            self.carrier = None

    def remembered(self, value):
        return ops.cast(value, "bool")

    def update(self, weight, nonzero_before, optimizer):
        if keras_private.is_frozen_by_scope(self.offset):
            raise RuntimeError(
                f"Clustering of {self.path!r} cannot keep its state in this stateless "
                "training step. On JAX train the clustered model itself, with the "
                "optimizer that it is compiled with."
            )
        value = ops.cast(ops.stop_gradient(weight), "float32") + self.offset.value
        if self.original is not None:
            value = self.original(value)
        shared, centroids = self._shared(value, nonzero_before)
        self.centroids.assign(centroids)
        offset = value - shared
        if self.preserve_sparsity:
            offset = ops.where(nonzero_before, offset, 0.0)
        self.offset.assign(offset)
        return ops.cast(shared, weight.dtype)

    def _shared(self, value, nonzero, move=True):
        """The value of each weight's centroid, and the centroids."""
        centroids = ops.convert_to_tensor(self.centroids.value)
        rows = _kmeans_step.to_rows(value, self.axis)
        counted = None
        if self.preserve_sparsity:
            counted = _kmeans_step.to_rows(nonzero, self.axis)
        if move:
            shared, centroids = _kmeans_step.follow(rows, centroids, counted)
        else:
            shared = _kmeans_step.look_up(
                _kmeans_step.nearest(rows, centroids), centroids
            )
            if counted is not None:
                shared = ops.where(counted, shared, 0.0)
        return _kmeans_step.from_rows(shared, value.shape, self.axis), centroids


def follow_compile(model):
    """Lets each optimizer that `model` is compiled with take the state with it."""
    compile_model = model.compile
    if keras.backend.backend() != "jax" or hasattr(compile_model, "carries_clusters"):
        return

    @functools.wraps(compile_model)
    def compile_and_carry(*args, **kwargs):
        compile_model(*args, **kwargs)
        for weight in constrained_weights(model):
            if isinstance(weight.constraint, ClusterConstraint):
                weight.constraint.carry(weight)

    compile_and_carry.carries_clusters = True
    model.compile = compile_and_carry


def values_a_row(value, axis):
    """How many different values there are, in the row that has most of them."""
    rows = ops.convert_to_numpy(_kmeans_step.to_rows(value, axis))
    return max(np.unique(row).size for row in rows)


def _scope(model):
    """Where variables of the model are created, under `tf.distribute` too."""
    strategy = getattr(model, "distribute_strategy", None)
    return contextlib.nullcontext() if strategy is None else strategy.scope()
