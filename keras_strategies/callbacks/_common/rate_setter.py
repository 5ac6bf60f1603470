"""Callbacks that set learning rates, and those that reduce them, in one fit."""

from collections.abc import Sequence
from typing import Any, Literal

import keras

from keras_strategies._internal import bases, checks
from keras_strategies._internal.keras_private import raw_learning_rate
from keras_strategies.callbacks._common.learning_rates import (
    ScalableLearningRate,
    learning_rate_variables,
)
from keras_strategies.callbacks._common.optimizers import ActedOn
from keras_strategies.callbacks._common.siblings import siblings, undo_begins

_OF_KERAS = (
    keras.callbacks.LearningRateScheduler,
    keras.callbacks.ReduceLROnPlateau,
)


class RateSetter(bases.Callback):
    """A callback that sets learning rates anew, epoch by epoch or batch by batch.

    It would overwrite what `ReduceOnPlateau` or `NaNRecovery` reduced. So these tell
    it by `rate_was_reduced`, and it multiplies what it sets by `_scales`, one for each
    optimizer. Two that set the same rate are an error: the last would win. Only
    functions of the current rate follow each other.
    """

    _acted: ActedOn
    _rate_variables: Sequence[keras.Variable] | None = None
    _scales: list[float] | None = None

    @property
    def rate_role(self) -> Literal["sets", "changes", "reduces"]:
        """Sets rates whatever they are, changes the current ones, or reduces them."""
        return "sets"

    def rate_was_reduced(self, variable: keras.Variable, factor: float) -> None:
        """Hears that a rate was multiplied by `factor`, and keeps it so."""
        for index, own in enumerate(self._rate_variables or ()):
            if own is variable and self._scales is not None:
                self._scales[index] *= factor
                self._rate_changed(index, factor)

    def _rate_changed(self, index: int, factor: float) -> None:
        """For what remembers the rates that it set last."""

    def _refuse_other_setters(self, variables: Sequence[keras.Variable]) -> None:
        """Refuses a second callback of this fit that sets one of these rates."""
        own = {id(variable) for variable in variables}
        for other in siblings(self):
            if isinstance(other, RateSetter):
                roles = {self.rate_role, other.rate_role}
                if roles not in ({"sets"}, {"sets", "changes"}):
                    continue
                theirs = learning_rate_variables(other.model, other._acted)
                if not any(id(variable) in own for variable in theirs):
                    continue
            elif self.rate_role != "sets" or not isinstance(other, _OF_KERAS):
                continue
            fix = "Leave one out, or give each its own `optimizer`."
            if isinstance(other, keras.callbacks.ReduceLROnPlateau):
                fix = "Use callbacks.ReduceOnPlateau, whose reductions are kept."
            undo_begins(self)
            checks.fail(
                "Only one callback of a fit can set the learning rate",
                fix=fix,
                first=type(self).__name__,
                second=type(other).__name__,
            )


def reduce_rate(
    callback: keras.callbacks.Callback,
    rate: ScalableLearningRate,
    factor: float,
    lowest: float = 0.0,
) -> float:
    """Reduces a rate for good: callbacks that set it are told. Returns the new rate."""
    before = rate.learning_rate
    new_rate = rate.reduce(factor, lowest)
    ratio = new_rate / before if before > 0 else factor
    variable: Any = raw_learning_rate(rate.optimizer)
    for other in siblings(callback):
        if isinstance(other, RateSetter):
            other.rate_was_reduced(variable, ratio)
    return new_rate
