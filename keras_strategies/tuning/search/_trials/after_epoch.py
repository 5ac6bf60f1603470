"""Callback of a trial: saves the best weights and stops pruned trials."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import bases
from keras_strategies._internal.traversal import optimizer_variables
from keras_strategies._internal.weights.values import assign_values, host_values
from keras_strategies.tuning._space import Trial

# Of weights and optimizer, up to which a copy is kept in memory.
_MAX_BYTES = 2**26


class BestValue:
    """The best value of the objective in a trial, over folds and executions."""

    def __init__(self) -> None:
        self.value: float | None = None


class AfterEpoch(bases.Callback):
    """Saves the weights of the best epoch and asks the oracle whether to continue.

    Args:
        tuner: The tuner.
        trial: The trial.
        best: The best value of the trial, shared by its folds.
        reports: Whether the oracle gets the objective after each epoch: of several
            folds or executions the first does.
        writes_at_end: Whether the weights of the best epoch are kept in memory and
            written once, when the fit ends: to write a file takes longer than an epoch
            of a small model. Defaults to `False`.
    """

    def __init__(
        self,
        tuner: Any,
        trial: Trial,
        best: BestValue,
        reports: bool,
        writes_at_end: bool = False,
    ) -> None:
        super().__init__()
        self.writes_at_end = writes_at_end
        self._kept: list[np.ndarray] | None = None
        self.tuner, self.trial, self.best, self.reports = tuner, trial, best, reports
        self.objective = tuner.oracle.objective

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self.tuner.on_epoch_begin(self.trial, self.model, epoch, logs=logs)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        metrics = {name: float(np.mean(value)) for name, value in (logs or {}).items()}
        self._save_if_best(metrics)
        if self.reports:
            status = self.tuner.oracle.report(self.trial.trial_id, epoch, metrics)
            if status == "STOPPED":
                self.model.stop_training = True
        self.tuner.on_epoch_end(self.trial, self.model, epoch, logs=metrics)

    def _save_if_best(self, metrics: Mapping[str, float]) -> None:
        if self.tuner.oracle.continues_from_last:
            self._save()
            return
        # Without the objective among the metrics the weights of the last epoch remain.
        if self.objective.has_value(metrics):
            value = self.objective.get_value(metrics)
            best = self.best.value
            if best is not None and not self.objective.better_than(value, best):
                return
            if not math.isfinite(value):
                return
            self.best.value = value
        self._save()

    def _save(self) -> None:
        if self.writes_at_end:
            variables = self._variables()
            if _num_bytes(variables) <= _MAX_BYTES:
                self._kept = host_values(variables)
                return
        self.model.save_weights(self.tuner.checkpoint_path(self.trial.trial_id))

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        if self._kept is None:
            return
        variables = self._variables()
        last = host_values(variables)
        assign_values(variables, self._kept)
        self.model.save_weights(self.tuner.checkpoint_path(self.trial.trial_id))
        assign_values(variables, last)
        self._kept = None

    def _variables(self) -> list[keras.Variable]:
        return [*self.model.variables, *optimizer_variables(self.model.optimizer)]


def _num_bytes(variables: Iterable[keras.Variable]) -> int:
    """Bytes of variables, at most 4 for each number."""
    return sum(4 * math.prod(variable.shape) for variable in variables)
