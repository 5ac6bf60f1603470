"""The constraint that keeps one weight sparse after every update."""

import threading
import weakref

import keras
import numpy as np
from keras import ops

from keras_strategies._internal import keras_private
from keras_strategies._internal.walking import base_optimizers
from keras_strategies.compression import _masks


def existing_sparsity(weight):
    """The share of zeros that an earlier pruning left in `weight`, or 1.0.

    1.0 is a kernel that is zero throughout (a zero initializer), which pruning
    never leaves. Zeros off the diagonal only (an identity initializer) count as 0.0.
    """
    nonzero = ops.convert_to_numpy(ops.copy(weight)) != 0
    if nonzero.any() and nonzero.ndim == 2:
        beside = nonzero[~np.eye(*nonzero.shape, dtype=bool)]
        if not beside.any():
            return 0.0
    return float(1.0 - nonzero.mean())


class PruningConstraint(keras.constraints.Constraint):
    """Renews or holds the mask of one weight and applies it, inside the step.

    The mask is never stored: pruned weights are exact zeros, so the zeros from
    before an update are the mask in force. That makes it part of every
    checkpoint, and the same on backends that run a training step as a pure
    function. The value before the update comes from `watch_updates`.
    """

    def __init__(self, model, weight, schedule):
        self.schedule = schedule
        self.original = weight.constraint
        self.path = weight.path
        found = existing_sparsity(weight)
        self.zero_start = found == 1.0
        self.floor = 0.0 if self.zero_start else found
        self._model = weakref.ref(model)
        # Steps for training without a compiled optimizer.
        self._own_steps = keras.Variable(
            0, dtype="int32", trainable=False, name="pruning_steps"
        )
        # One value a thread: replicas of tf.distribute take turns in threads.
        self._before = threading.local()

    def attach(self, weight):
        weight.constraint = self
        keras_private.watch_updates(weight, self._remember)

    def detach(self, weight):
        keras_private.unwatch_updates(weight)
        weight.constraint = self.original

    def _remember(self, weight):
        # A wrapper such as LossScaleOptimizer looks at the weight before it hands
        # its value to the inner optimizer, whose own look comes later.
        known = not keras_private.is_frozen_by_scope(weight)
        self._before.nonzero = ops.cast(weight.value, "bool") if known else None

    def __call__(self, weight):
        nonzero_before = getattr(self._before, "nonzero", None)
        if nonzero_before is None:
            raise RuntimeError(
                f"The optimizer updated {self.path!r} in a way that pruning cannot "
                "follow. Use an optimizer of `keras.optimizers`, and its `apply`, "
                "`apply_gradients` or `stateless_apply`."
            )
        self._before.nonzero = None
        optimizer = self._optimizer(weight)
        step, renew = self._clock(optimizer)
        value = ops.stop_gradient(weight)
        mask = _masks.next_mask(
            value,
            nonzero_before,
            step,
            self.schedule,
            floor=self.floor,
            zero_start=self.zero_start,
            renew=renew,
        )
        value = _masks.apply_mask(value, mask)
        if self.original is not None:
            value = _masks.apply_mask(self.original(value), mask)
        average = optimizer and keras_private.moving_average(optimizer, weight)
        if average is not None:
            average.assign(_masks.apply_mask(average.value, mask))
        return value

    def _optimizer(self, weight):
        """The compiled optimizer that updates `weight`, or `None`."""
        compiled = getattr(self._model(), "optimizer", None)
        if compiled is None:
            return None
        for optimizer in base_optimizers(compiled):
            if optimizer.built and keras_private.owns(optimizer, weight):
                return optimizer
        return None

    def _clock(self, optimizer):
        """The step of this update, and whether masks may be renewed in it."""
        counter = (
            self._own_steps
            if optimizer is None
            else keras_private.batches_seen(optimizer)
        )
        if keras_private.is_frozen_by_scope(counter):
            raise RuntimeError(
                f"Pruning of {self.path!r} cannot count its steps in this stateless "
                "training step. Compile the pruned model with the optimizer that "
                "updates it (and prune the outermost model, not one inside it)."
            )
        if optimizer is None:
            step = ops.copy(counter)
            counter.assign_add(1)
            return step, True
        every = optimizer.gradient_accumulation_steps
        if not every:
            return ops.convert_to_tensor(counter), True
        last = ops.equal(ops.mod(ops.convert_to_tensor(counter) + 1, every), 0)
        return ops.convert_to_tensor(optimizer.iterations), last
