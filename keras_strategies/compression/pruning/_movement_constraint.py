"""Constraint that keeps the weights that move away from zero."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_strategies.compression._common.stateful_constraint import StatefulConstraint
from keras_strategies.compression.pruning import _masks
from keras_strategies.compression.pruning._pruning_constraint import PruningConstraint
from keras_strategies.compression.pruning.sparsity_schedule import SparsitySchedule

# Before anything has moved, weights are ranked by their magnitude.
_MAGNITUDE_SHARE = 1e-6
# Of weights that an earlier pruning left at zero: their values are gone.
_LOST = -1e9


class MovementConstraint(StatefulConstraint, PruningConstraint):
    """Prunes by the movement of each weight, and remembers what it has pruned.

    With `d`, the optimizer's update of a weight whose value is `w` when it is not
    pruned (its latent value),

        score = sum over updates of d * w

    which grows while the weight moves away from zero (Sanh et al., 2020, for plain
    SGD; `d` is the update of any optimizer). The variable holds `w` or zero. The
    gradient of a pruned weight is that at zero; it moves the score, not `w`, so a
    weight that would move outwards comes back with the value it had.
    """

    def __init__(
        self,
        model: keras.Model,
        weight: keras.Variable,
        schedule: SparsitySchedule,
        pattern: Any,
    ) -> None:
        super().__init__(model, weight, schedule, pattern)
        value = ops.convert_to_numpy(ops.copy(weight.value)).astype("float32")
        scores = _MAGNITUDE_SHARE * np.abs(value)
        if self.floor > 0:
            scores[value == 0] = _LOST
        self.latent, self.scores = self.make_state(
            model, {"latent": value, "movement": scores}
        )

    def remember(self, value: Any) -> Any:
        # A copy: Torch updates the tensor itself.
        return ops.copy(ops.cast(value, "float32"))

    def ranked(self, weight: keras.Variable) -> Any:
        return ops.convert_to_tensor(self.scores.value)

    def update(self, weight: Any, before: Any, optimizer: Any) -> Any:
        self.check_carried()
        step, renew = self._clock(optimizer)
        value = ops.cast(ops.stop_gradient(weight), "float32")
        if self.original is not None:
            value = self.original(value)
        threshold = self.group and self.group.threshold(step, renew)
        latent = ops.convert_to_tensor(self.latent.value)
        # Ranked by what was there before the update, as in the threshold of a group.
        scores = ops.copy(self.scores.value)
        moved = (value - before) * latent
        options = {"floor": self.floor, "zero_start": self.zero_start}
        nonzero = ops.cast(before, "bool")
        in_force = _masks.previous_mask(nonzero, step, self.schedule, **options)
        latent = ops.where(in_force, value, latent)
        self.scores.assign(scores + moved)
        self.latent.assign(latent)
        mask = _masks.next_mask(
            latent,
            nonzero,
            step,
            self.schedule,
            self.pattern,
            renew=renew,
            threshold=threshold,
            scores=scores,
            **options,
        )
        self._mask_average(optimizer, weight, mask)
        return ops.cast(_masks.apply_mask(latent, mask), weight.dtype)
