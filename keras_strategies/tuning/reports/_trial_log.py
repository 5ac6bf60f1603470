"""Hyperparameters beside the curves of a TensorBoard callback given to `search`."""

import math
import os
import time
from collections.abc import Mapping
from typing import Any

import keras

from keras_strategies._internal import bases
from keras_strategies.tuning import _space
from keras_strategies.tuning._space import Trial
from keras_strategies.tuning.reports import _event_files, _records
from keras_strategies.tuning.reports._hyperparameter_axes import hyperparameter_axes


class TrialLog(bases.Callback):
    """Writes the hyperparameters and the best epoch of one fit beside its curves.

    In place of the callback of KerasTuner 1.4.8, which exists on TensorFlow only and
    fails for values such as tuples and for a name in several scopes.

    Args:
        folder: Folder of this fit.
        trial: The trial.
        objective: The objective of the oracle.
    """

    def __init__(self, folder: str, trial: Trial, objective: Any) -> None:
        super().__init__()
        self._folder, self._objective = folder, objective
        self._trial_id = trial.trial_id
        self._active = {
            name: _space.from_label(value)
            for name, value in trial.hyperparameters.values.items()
        }
        row = {f"value/{name}": value for name, value in self._active.items()}
        self._axes = hyperparameter_axes(trial, [row])

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self._best: tuple[float, int, dict[str, float]] | None = None
        start = _event_files.session_start(
            self._axes, self._active, self._trial_id, time.time()
        )
        _event_files.write(self._folder, "0", [(0, start)])

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        metrics = {name: float(value) for name, value in (logs or {}).items()}
        if not self._objective.has_value(metrics):
            return
        value = self._objective.get_value(metrics)
        if not math.isfinite(value):
            return
        if self._best is None or self._objective.better_than(value, self._best[0]):
            self._best = value, epoch, {**metrics, self._objective.name: value}

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        summaries = [(0, _event_files.session_end("COMPLETED", time.time()))]
        if self._best is not None:
            _, epoch, metrics = self._best
            summaries += [
                (epoch + 1, _event_files.scalar(name, value))
                for name, value in metrics.items()
            ]
        _event_files.write(self._folder, "1", summaries)


def prepare_tensorboard(
    callbacks: list[keras.callbacks.Callback], trial: Trial, execution: int, oracle: Any
) -> None:
    """Gives each TensorBoard callback a folder for this fit, and adds a `TrialLog`."""
    for callback in list(callbacks):
        if isinstance(callback, keras.callbacks.TensorBoard):
            root = str(callback.log_dir)
            folder = os.path.join(root, trial.trial_id, f"execution{execution}")
            callback.log_dir = folder
            callbacks.append(TrialLog(folder, trial, oracle.objective))
            axes = hyperparameter_axes(trial, [], unseen=True)
            objectives = list(_records.objectives_of(oracle))
            summary = _event_files.experiment(axes, objectives)
            _event_files.write(root, "experiment", [(0, summary)])
