"""The constraint that keeps zeros and shared values while training for int8."""

import weakref

import numpy as np
from keras import ops

from keras_strategies._internal import keras_private
from keras_strategies.compression._common.update_constraint import UpdateConstraint
from keras_strategies.compression.clustering import _kmeans_step
from keras_strategies.compression.pruning import _masks


class PreserveConstraint(UpdateConstraint):
    """Holds the zeros of a weight, and lets weights of one value move together.

    Which weights go together is seen in the values from before the update, by
    `positions`, the place of one weight of each value. So there is no state: it
    works where a training step is a pure function, and after loading.

    Args:
        model: The model, if it is known yet.
        weight: The variable.
        plan: A dict of `_preserve.found`.
        on_end: Called when `strip` ends it.
    """

    purpose, state = "keeping zeros and clusters", "kept_by_quantize_aware"

    def __init__(self, model, weight, plan, on_end):
        super().__init__(model, weight)
        self.on_end = on_end
        self.zeros, self.axis = plan["zeros"], plan["axis"]
        self.positions = None
        if plan["positions"] is not None:
            self.positions = np.asarray(plan["positions"], "int32")

    def belong_to(self, model):
        """Says in which model the weight is, whose optimizer may keep averages."""
        self._model = weakref.ref(model)

    def detach(self, weight):
        super().detach(weight)
        self.on_end()

    def remembered(self, value):
        if self.positions is None:
            return ops.cast(value, "bool")
        rows = _kmeans_step.to_rows(ops.cast(value, "float32"), self.axis)
        positions = ops.convert_to_tensor(self.positions)
        centroids = ops.sort(ops.take_along_axis(rows, positions, axis=1), axis=1)
        return _kmeans_step.nearest(rows, centroids), centroids

    def update(self, weight, before, optimizer):
        value = ops.stop_gradient(ops.convert_to_tensor(weight))
        if self.original is not None:
            value = self.original(value)
        average = optimizer and keras_private.moving_average(optimizer, weight)
        if average is not None:
            average.assign(self._kept(ops.convert_to_tensor(average), before))
        return self._kept(value, before)

    def _kept(self, value, before):
        if self.positions is None:
            return _masks.apply_mask(value, before)
        index, old = before
        rows = _kmeans_step.to_rows(ops.cast(value, "float32"), self.axis)
        centroids = _kmeans_step.recentre(rows, index, old)
        if self.zeros:
            centroids = ops.where(ops.equal(old, 0.0), 0.0, centroids)
        shared = _kmeans_step.look_up(index, centroids)
        shared = _kmeans_step.from_rows(shared, value.shape, self.axis)
        return ops.cast(shared, value.dtype)
