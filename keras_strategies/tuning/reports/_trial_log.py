"""What a tuner does for a TensorBoard callback that is given to `search`."""

import math
import os
import time

import keras

from keras_strategies.tuning._space import space as _space
from keras_strategies.tuning.reports import _axes as _dimensions
from keras_strategies.tuning.reports import _event_files, _records


class TrialLog(keras.callbacks.Callback):
    """Writes the hyperparameters and the best epoch of one fit beside its curves.

    In place of the callback of KerasTuner 1.4.8, which is there on TensorFlow only and
    fails for values such as tuples and for a name in several scopes.

    Args:
        folder: Folder of this fit.
        trial: The trial.
        objective: The objective of the oracle.
    """

    def __init__(self, folder, trial, objective):
        super().__init__()
        self._folder, self._objective = folder, objective
        self._trial_id = trial.trial_id
        row = {
            f"value/{name}": _space.decode(value)
            for name, value in trial.hyperparameters.values.items()
        }
        self._axes = _dimensions.dimensions(trial, [row])
        self._values = {name[len("value/") :]: value for name, value in row.items()}

    def on_train_begin(self, logs=None):
        self._best = None
        start = _event_files.session_start(
            self._axes, self._values, self._trial_id, time.time()
        )
        _event_files.write(self._folder, "0", [(0, start)])

    def on_epoch_end(self, epoch, logs=None):
        logs = {name: float(value) for name, value in (logs or {}).items()}
        if not self._objective.has_value(logs):
            return
        value = self._objective.get_value(logs)
        if not math.isfinite(value):
            return
        if self._best is None or self._objective.better_than(value, self._best[0]):
            self._best = value, epoch, {**logs, self._objective.name: value}

    def on_train_end(self, logs=None):
        summaries = [(0, _event_files.session_end("COMPLETED", time.time()))]
        if self._best is not None:
            _, epoch, values = self._best
            summaries += [
                (epoch + 1, _event_files.scalar(name, value))
                for name, value in values.items()
            ]
        _event_files.write(self._folder, "1", summaries)


def prepare(callbacks, trial, execution, oracle):
    """Gives each TensorBoard callback a folder for this fit, and a `TrialLog`."""
    for callback in list(callbacks):
        if isinstance(callback, keras.callbacks.TensorBoard):
            root = str(callback.log_dir)
            folder = os.path.join(root, trial.trial_id, f"execution{execution}")
            callback.log_dir = folder
            callbacks.append(TrialLog(folder, trial, oracle.objective))
            axes = _dimensions.dimensions(trial, [], unseen=True)
            shown = list(_records.objectives(oracle))
            summary = _event_files.experiment(axes, shown)
            _event_files.write(root, "experiment", [(0, summary)])
