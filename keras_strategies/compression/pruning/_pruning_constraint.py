"""Constraints that keep weights sparse after every update."""

import math
import threading
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_strategies._internal import keras_private
from keras_strategies.compression._common.update_constraint import UpdateConstraint
from keras_strategies.compression.pruning import _masks
from keras_strategies.compression.pruning.sparsity_schedule import SparsitySchedule


def existing_sparsity(weight: keras.Variable) -> float:
    """The share of zeros that an earlier pruning left in `weight`, or 1.0.

    1.0 is a kernel that is zero throughout (a zero initializer), which pruning
    never leaves. Zeros off the diagonal only (an identity initializer) count as 0.0.
    """
    nonzero = ops.convert_to_numpy(ops.copy(weight)) != 0
    if nonzero.any() and nonzero.ndim == 2:
        off_diagonal = nonzero[~np.eye(*nonzero.shape, dtype=bool)]
        if not off_diagonal.any():
            return 0.0
    return float(1.0 - nonzero.mean())


class PruningConstraint(UpdateConstraint):
    """Renews or keeps the mask of one weight and applies it, inside the step.

    The mask is never stored: pruned weights are exact zeros, so the zeros from
    before an update are the mask in force. That makes it part of every
    checkpoint, and the same on backends that run a training step as a pure
    function.
    """

    purpose, state = "pruning", "already_pruned"
    zeros = True

    def __init__(
        self,
        model: keras.Model,
        weight: keras.Variable,
        schedule: SparsitySchedule,
        pattern: Any,
    ) -> None:
        super().__init__(model, weight)
        self.schedule = schedule
        self.pattern = pattern
        self.group: GlobalThreshold | None = None
        self.at_end: Callable[[], None] | None = None
        sparsity = existing_sparsity(weight)
        self.zero_start = sparsity == 1.0
        self.floor = 0.0 if self.zero_start else sparsity
        # Steps for training without a compiled optimizer.
        self._own_steps = keras.Variable(
            0, dtype="int32", trainable=False, name="pruning_steps"
        )

    def remember(self, value: Any) -> Any:
        return ops.cast(value, "bool")

    def finish(self) -> None:
        if self.at_end is not None:
            self.at_end()

    def steps(self, weight: keras.Variable) -> int:
        """Returns the number of steps that the schedule has counted."""
        optimizer = self._optimizer(weight)
        counter = self._own_steps if optimizer is None else optimizer.iterations
        return int(ops.convert_to_numpy(ops.copy(counter)))

    def start(self) -> None:
        if self.group is not None:
            self.group.reset()

    def scalars(self, values: Any, step: int) -> dict[str, float]:
        return {"target_sparsity": float(self.schedule(step))}

    def update(self, weight: Any, before: Any, optimizer: Any) -> Any:
        step, renew = self._clock(optimizer)
        value = ops.stop_gradient(weight)
        threshold = self.group and self.group.threshold(step, renew)
        mask = _masks.next_mask(
            value,
            before,
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
            # Masked again: the other constraint may move zeros.
            value = _masks.apply_mask(self.original(value), mask)
        self._mask_average(optimizer, weight, mask)
        return value

    def ranked(self, weight: keras.Variable) -> Any:
        """What weights are kept by: the largest stay. Not negative."""
        return self.pattern.scores(weight.value)

    def _mask_average(self, optimizer, weight, mask):
        # `use_ema` later replaces the weight by this average, which must be sparse.
        average = optimizer and keras_private.moving_average(optimizer, weight)
        if average is not None:
            average.assign(_masks.apply_mask(average.value, mask))

    def _clock(self, optimizer):
        """The step of this update, and whether masks may be renewed in it."""
        counter = (
            self._own_steps
            if optimizer is None
            else keras_private.iterations_variable(optimizer)
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
        # Gradient accumulation calls constraints after each batch, but the step
        # advances, and weights change, only with the last one.
        is_last = ops.equal(ops.mod(ops.convert_to_tensor(counter) + 1, every), 0)
        return ops.convert_to_tensor(optimizer.iterations), is_last


class GlobalThreshold:
    """One threshold for the scores of all weights that are pruned together."""

    def __init__(
        self,
        weights: Sequence[keras.Variable],
        constraints: Sequence[PruningConstraint],
        schedule: SparsitySchedule,
        signed: bool = False,
    ) -> None:
        self.pairs = list(zip(weights, constraints, strict=True))
        self.signed = signed
        self.schedule = schedule
        sizes = [math.prod(weight.shape) for weight in weights]
        zeros = [c.floor * n for c, n in zip(constraints, sizes, strict=True)]
        self.floor = sum(zeros) / sum(sizes)
        # Computed at the first weight of an update and used for all of them; one a
        # thread, as replicas of tf.distribute take turns in threads.
        self._cache = threading.local()

    def reset(self) -> None:
        """Forgets the threshold at the beginning of an update."""
        self._cache.threshold = None

    def threshold(self, step: Any, renew: Any) -> Any:
        """The smallest score that is kept; 0 at steps that renew no mask."""
        if getattr(self._cache, "threshold", None) is None:
            renews = ops.logical_and(self.schedule.should_prune(step), renew)
            self._cache.threshold = ops.cond(
                renews, lambda: self._compute(step), lambda: ops.zeros((), "float32")
            )
        return self._cache.threshold

    def _compute(self, step):
        trained = [pair for pair in self.pairs if pair[0].trainable]
        foreign = [w.path for w, _ in trained if keras_private.is_frozen_by_scope(w)]
        if foreign:
            raise RuntimeError(
                "Pruning with a global scope needs all pruned weights in one "
                f"training step. Not given to this one: {foreign}."
            )
        # Keras applies constraints after it has updated all weights, so magnitudes are
        # those after the update. Movements are those up to it, for all weights alike.
        scores = [constraint.ranked(weight) for weight, constraint in trained]
        sparsity = _masks.target_sparsity(self.schedule, step, self.floor)
        return _masks.threshold_for(scores, sparsity, self.signed)
