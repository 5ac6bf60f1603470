"""Constraint that preserves zeros and shared values of a weight."""

import weakref
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_strategies._internal import keras_private
from keras_strategies.compression._common.update_constraint import UpdateConstraint
from keras_strategies.compression.clustering import _channel_rows, _kmeans_step
from keras_strategies.compression.pruning import _masks


class PreserveConstraint(UpdateConstraint):
    """Preserves the zeros of a weight, and lets weights of one value move together.

    Which weights belong together is read from the values before the update, by
    `positions`, the index of one weight of each value. So there is no state: it
    works where a training step is a pure function, and after loading.

    Args:
        model: The model or, until it is known, the layer.
        weight: The variable.
        plan: A dict of `preservation_plan`.
        on_end: Called when `strip` ends it. Defaults to `None`.
    """

    purpose, state = "keeping zeros and clusters", "already_preserved"

    def __init__(
        self,
        model: Any,
        weight: keras.Variable,
        plan: dict[str, Any],
        on_end: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(model, weight)
        self.on_end = on_end
        self.zeros, self.axis = plan["zeros"], plan["axis"]
        self.positions = None
        if plan["positions"] is not None:
            self.positions = np.asarray(plan["positions"], "int32")

    def belong_to(self, model: keras.Model) -> None:
        """Says in which model the weight is, whose optimizer may keep averages."""
        self._model = weakref.ref(model)

    def detach(self, weight: keras.Variable) -> None:
        super().detach(weight)
        if self.on_end is not None:
            self.on_end()

    def remember(self, value: Any) -> Any:
        if self.positions is None:
            return ops.cast(value, "bool")
        # The representatives give the distinct values, sorted as `nearest` wants them.
        rows = _channel_rows.to_rows(ops.cast(value, "float32"), self.axis)
        positions = ops.convert_to_tensor(self.positions)
        centroids = ops.sort(ops.take_along_axis(rows, positions, axis=1), axis=1)
        return _kmeans_step.nearest(rows, centroids), centroids

    def update(self, weight: Any, before: Any, optimizer: Any) -> Any:
        value = ops.stop_gradient(ops.convert_to_tensor(weight))
        if self.original is not None:
            value = self.original(value)
        # `use_ema` later replaces the weight by this average.
        average = optimizer and keras_private.moving_average(optimizer, weight)
        if average is not None:
            average.assign(self._preserved(ops.convert_to_tensor(average), before))
        return self._preserved(value, before)

    def _preserved(self, value, before):
        """The updated value, with the zeros and clusters of the one before."""
        if self.positions is None:
            return _masks.apply_mask(value, before)
        index, old = before
        rows = _channel_rows.to_rows(ops.cast(value, "float32"), self.axis)
        # Each cluster moves to the mean of its updated weights; none changes cluster.
        centroids = _kmeans_step.update_centroids(rows, index, old)
        if self.zeros:
            centroids = ops.where(ops.equal(old, 0.0), 0.0, centroids)
        shared = _kmeans_step.gather(index, centroids)
        shared = _channel_rows.from_rows(shared, value.shape, self.axis)
        return ops.cast(shared, value.dtype)
