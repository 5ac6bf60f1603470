"""The constraint that keeps one weight sparse after every update."""

import math
import threading

import keras
import numpy as np
from keras import ops

from keras_strategies._internal import keras_private
from keras_strategies.compression._common.update_constraint import UpdateConstraint
from keras_strategies.compression.pruning import _masks


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


class PruningConstraint(UpdateConstraint):
    """Renews or holds the mask of one weight and applies it, inside the step.

    The mask is never stored: pruned weights are exact zeros, so the zeros from
    before an update are the mask in force. That makes it part of every
    checkpoint, and the same on backends that run a training step as a pure
    function.
    """

    purpose, state = "pruning", "already_pruned"

    def __init__(self, model, weight, schedule, pattern):
        super().__init__(model, weight)
        self.schedule = schedule
        self.pattern = pattern
        self.group = None
        found = existing_sparsity(weight)
        self.zero_start = found == 1.0
        self.floor = 0.0 if self.zero_start else found
        # Steps for training without a compiled optimizer.
        self._own_steps = keras.Variable(
            0, dtype="int32", trainable=False, name="pruning_steps"
        )

    def remembered(self, value):
        return ops.cast(value, "bool")

    def start(self):
        if self.group is not None:
            self.group.forget()

    def update(self, weight, nonzero_before, optimizer):
        step, renew = self._clock(optimizer)
        value = ops.stop_gradient(weight)
        threshold = self.group and self.group.threshold(step, renew)
        mask = _masks.next_mask(
            value,
            nonzero_before,
            step,
            self.schedule,
            self.pattern,
            floor=self.floor,
            zero_start=self.zero_start,
            renew=renew,
            threshold=threshold,
        )
        value = _masks.apply_mask(value, mask)
        if self.original is not None:
            value = _masks.apply_mask(self.original(value), mask)
        average = optimizer and keras_private.moving_average(optimizer, weight)
        if average is not None:
            average.assign(_masks.apply_mask(average.value, mask))
        return value

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


class GlobalThreshold:
    """One threshold for the scores of all weights that are pruned together."""

    def __init__(self, weights, constraints, schedule):
        self.pairs = [
            (weight, constraint.pattern)
            for weight, constraint in zip(weights, constraints, strict=True)
        ]
        self.schedule = schedule
        sizes = [math.prod(weight.shape) for weight in weights]
        zeros = [c.floor * n for c, n in zip(constraints, sizes, strict=True)]
        self.floor = sum(zeros) / sum(sizes)
        # Found at the first weight of an update and used for all of them; one a
        # thread, as replicas of tf.distribute take turns in threads.
        self._found = threading.local()

    def forget(self):
        self._found.threshold = None

    def threshold(self, step, renew):
        """What scores must reach at `step`; 0 at steps that renew no mask."""
        if getattr(self._found, "threshold", None) is None:
            turn = ops.logical_and(self.schedule.should_prune(step), renew)
            self._found.threshold = ops.cond(
                turn, lambda: self._search(step), lambda: ops.zeros((), "float32")
            )
        return self._found.threshold

    def _search(self, step):
        trained = [pair for pair in self.pairs if pair[0].trainable]
        foreign = [w.path for w, _ in trained if keras_private.is_frozen_by_scope(w)]
        if foreign:
            raise RuntimeError(
                "Pruning with a global scope needs all pruned weights in one "
                f"training step. Not given to this one: {foreign}."
            )
        scores = [pattern.scores(weight.value) for weight, pattern in trained]
        sparsity = _masks.target_sparsity(self.schedule, step, self.floor)
        return _masks.threshold_for(scores, sparsity)
