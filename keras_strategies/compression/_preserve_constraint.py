"""The constraint that keeps zeros and shared values while training for int8."""

import numpy as np
from keras import ops

from keras_strategies.compression import _clusters, _masks
from keras_strategies.compression._update_constraint import UpdateConstraint


class PreserveConstraint(UpdateConstraint):
    """Holds the zeros of a weight, and lets weights of one value move together.

    Which weights go together is seen in the values from before the update, by
    `positions`, the place of one weight of each value. So there is no state: it
    works where a training step is a pure function, and after loading.

    Args:
        owner: The layer whose `preserve` made this constraint; told when it ends.
        weight: The variable.
        plan: A dict of `_preserve.found`.
    """

    purpose, state = "keeping zeros and clusters", "kept_by_quantize_aware"

    def __init__(self, owner, weight, plan):
        super().__init__(owner, weight)
        self.zeros, self.axis = plan["zeros"], plan["axis"]
        self.positions = None
        if plan["positions"] is not None:
            self.positions = np.asarray(plan["positions"], "int32")

    def detach(self, weight):
        super().detach(weight)
        owner = self._model()
        if owner is not None:
            owner.preserving = False

    def remembered(self, value):
        if self.positions is None:
            return ops.cast(value, "bool")
        rows = _clusters.to_rows(ops.cast(value, "float32"), self.axis)
        positions = ops.convert_to_tensor(self.positions)
        centroids = ops.sort(ops.take_along_axis(rows, positions, axis=1), axis=1)
        return _clusters.nearest(rows, centroids), centroids

    def update(self, weight, before, optimizer):
        value = ops.stop_gradient(ops.convert_to_tensor(weight))
        if self.original is not None:
            value = self.original(value)
        if self.positions is None:
            return _masks.apply_mask(value, before)
        index, old = before
        rows = _clusters.to_rows(ops.cast(value, "float32"), self.axis)
        centroids = _clusters.recentre(rows, index, old)
        if self.zeros:
            centroids = ops.where(ops.equal(old, 0.0), 0.0, centroids)
        shared = _clusters.look_up(index, centroids)
        shared = _clusters.from_rows(shared, value.shape, self.axis)
        return ops.cast(shared, weight.dtype)
