"""What one call of `prune` does around `fit`: frozen weights, and shortfalls."""

import warnings
import weakref
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_strategies._internal.keras_private.callbacks import (
    unwrap_method,
    wrap_method,
)
from keras_strategies.compression.pruning._frozen_weights import prune_once
from keras_strategies.compression.pruning._pruning_constraint import PruningConstraint
from keras_strategies.compression.pruning.sparsity_schedule import SparsitySchedule

# A last renewal just before the end of a curve that is flat there is no shortfall.
_TOLERANCE = 0.01


class PruningWatch:
    """Prunes frozen weights, and says once that pruning fell short.

    Frozen weights have no updates, so no constraint prunes them: that is done here,
    at the beginning of the first `fit` that starts at `begin_step` or later, so that
    the other weights adapt to it, or else at the end of the one that passes it, or in
    `strip`.

    A schedule counts optimizer steps; a `fit` that is shorter than it, or a frequency
    that passes over its end, leaves weights denser than they were asked to be, and
    nothing else shows it. So does LoRA that is enabled on pruned weights.

    Args:
        model: The model, whose `fit` is watched.
        pairs: `(layer, weight)` of its pruned weights, those of one call of `prune`.
        schedule: Their schedule.
    """

    def __init__(
        self,
        model: keras.Model,
        pairs: Sequence[tuple[Any, keras.Variable]],
        schedule: SparsitySchedule,
    ):
        self._model = weakref.ref(model)
        weights = [weight for _, weight in pairs]
        self._layers = [weakref.ref(layer) for layer, _ in pairs]
        self._weights, self._schedule = weights, schedule
        self._frozen_done: set[int] = set()
        self._constraints: list[PruningConstraint] = [w.constraint for w in weights]
        self._first_step: int = self._steps()
        self._is_given = self._is_over = self._lora_given = False
        wrap_method(model, "fit", self._fit)

    def end(self) -> None:
        """Stops watching, at the end of pruning; warns if that was not done."""
        model = self._model()
        if not self._is_over and model is not None:
            unwrap_method(model, "fit", self._fit)
            if self._steps() > self._schedule.begin_step or not self._trained():
                self._prune_frozen()
            self.check()
        self._is_over = True

    def check(self) -> None:
        """Warns if the weights are denser than the end of the schedule says."""
        self._warn_of_lora()
        reason = None if self._is_given else self._reason()
        if reason is None:
            return
        sparsity, target = measured_sparsity(self._weights), self._target()
        if sparsity >= target - _TOLERANCE:  # zeros of an earlier pruning
            return
        self._is_given = True
        warnings.warn(
            f"Pruning has reached a sparsity of {sparsity:.1%} of its target of "
            f"{target:.1%}: {reason}.",
            stacklevel=4,
        )

    # One object, as `unwrap_method` compares by identity.
    @property
    def _fit(self):
        return self.__dict__.setdefault("_wrapper", self._wrapped_fit)

    def _wrapped_fit(self, call, *args, **kwargs):
        if self._steps() >= self._schedule.begin_step:
            self._prune_frozen()
        history = call(*args, **kwargs)
        if self._steps() > self._schedule.begin_step:
            self._prune_frozen()
        self.check()
        return history

    def _trained(self):
        """`(weight, constraint)` of the weights that an optimizer updates."""
        pairs = zip(self._weights, self._constraints, strict=True)
        return [(w, constraint) for w, constraint in pairs if w.trainable]

    def _prune_frozen(self):
        """Prunes the frozen weights, each once, to the end of the schedule."""
        for weight, constraint in zip(self._weights, self._constraints, strict=True):
            if weight.trainable or id(weight) in self._frozen_done:
                continue
            self._frozen_done.add(id(weight))
            sparsity = max(self._target(), constraint.floor)
            prune_once(weight, constraint.pattern, sparsity)
            # Trained later, it must not become denser again.
            constraint.floor = sparsity

    def _warn_of_lora(self):
        """Warns of weights that LoRA adds something to: the sum is not sparse."""
        owners = [layer() for layer in self._layers]
        names = sorted({o.name for o in owners if getattr(o, "lora_enabled", False)})
        if names and not self._lora_given:
            self._lora_given = True
            warnings.warn(
                f"LoRA is enabled on pruned layers ({', '.join(names)}): what it adds "
                "to the weights is dense, so what these layers compute with is not "
                "sparse. Merge LoRA and prune after it.",
                stacklevel=4,
            )

    def _target(self):
        pattern: Any = self._pattern()
        if pattern.ignores_sparsity:
            return pattern.m / pattern.n
        schedule = self._schedule
        last = schedule.end_step if schedule.end_step >= 0 else self._steps()
        return float(ops.convert_to_numpy(schedule(max(last, schedule.begin_step))))

    def _pattern(self):
        return self._constraints[0].pattern

    def _steps(self):
        """Updates that the trained weights have had, the fewest of any."""
        counts = [constraint.steps(weight) for weight, constraint in self._trained()]
        return min(counts, default=0)

    def _reason(self):
        """Why the target was not reached, or `None` if the schedule did all it says."""
        schedule, steps = self._schedule, self._steps()
        begin, end = schedule.begin_step, schedule.end_step
        if steps == self._first_step:  # nothing was trained
            return None
        if steps <= begin:
            return (
                f"it begins at step {begin} (`begin_step`), and the optimizer has made "
                f"{steps} steps. Train longer, or begin earlier"
            )
        if self._pattern().ignores_sparsity:
            return None
        final = steps - 1 if end < 0 else min(steps - 1, end)
        renewed = begin + (final - begin) // schedule.frequency * schedule.frequency
        reached = float(ops.convert_to_numpy(schedule(renewed)))
        if reached >= self._target() - _TOLERANCE:
            return None
        if end >= 0 and steps <= end:
            return (
                f"the schedule ends at step {end} (`end_step`), and the optimizer has "
                f"made {steps} steps. Train longer, or end earlier"
            )
        return (
            f"masks were renewed last at step {renewed}: every {schedule.frequency} "
            f"steps (`frequency`) from step {begin} (`begin_step`) to step {end} "
            "(`end_step`). Give a frequency that divides the steps between them"
        )


def measured_sparsity(weights: Iterable[keras.Variable]) -> float:
    """Returns the share of zeros in some weights together."""
    arrays = [ops.convert_to_numpy(ops.copy(weight)) for weight in weights]
    zeros = sum(int(np.sum(array == 0)) for array in arrays)
    return zeros / max(sum(array.size for array in arrays), 1)
