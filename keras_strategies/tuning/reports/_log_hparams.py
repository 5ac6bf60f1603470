"""Log of a search for TensorBoard's HParams dashboard."""

import math
import os
import time
from collections.abc import Iterator, Sequence
from typing import Any

from keras_strategies._internal import checks
from keras_strategies.tuning.reports import _event_files, _records
from keras_strategies.tuning.reports._hyperparameter_axes import (
    Axis,
    hyperparameter_axes,
)
from keras_strategies.tuning.reports._records import TunerOrOracle


def log_hparams(tuner: TunerOrOracle, log_dir: str | os.PathLike[str]) -> str:
    """Writes the trials of a search for TensorBoard's HParams dashboard.

    `tensorboard --logdir LOG_DIR` then shows them as a table that can be sorted and
    filtered, as parallel coordinates and as scatter plots. It accepts any tuner of
    KerasTuner, also one made again from the folder of a search, on every backend.
    Another call replaces what the last one wrote.

    There is a run for each trial with its active hyperparameters, its status, its
    duration and its metrics at the best epoch; with a `Tuner` also the objective after
    each epoch, as `epoch/NAME`.

    To watch trials while they train pass `keras.callbacks.TensorBoard(folder)` to
    `search` instead, and use another folder here: a `Tuner` gives each trial a folder
    of its own there and writes its hyperparameters beside the curves.

    Args:
        tuner: A `Tuner`, any tuner of KerasTuner, or its oracle.
        log_dir: Folder to write to; it is made if it does not exist.

    Returns:
        The folder as `str`.

    Raises:
        TypeError: If `tuner` is no tuner.

    Example:

    ```python
    import keras_tuner
    from keras_strategies import tuning

    class Search(tuning.Tuner):
        def run_trial(self, trial, **kwargs):
            return trial.hyperparameters.get("x") ** 2

    hp = keras_tuner.HyperParameters()
    hp.Float("x", -4, 4)
    tuner = Search(max_trials=5, algorithm="random", hyperparameters=hp)
    tuner.search(verbose=0)
    tuning.log_hparams(tuner, "logs")
    ```
    """
    checks.instance("log_dir", log_dir, (str, os.PathLike))
    oracle = _records.oracle_of(tuner)
    rows = [row for row in _records.trial_rows(oracle) if row["status"] != "OUTSIDE"]
    axes = hyperparameter_axes(oracle, rows)
    names = {name for row in rows for name in _records.metrics_of(row)}
    objectives = list(_records.objectives_of(oracle))
    metrics = [*objectives, *sorted(names - set(objectives))]
    summary = _event_files.experiment(axes, metrics, _description(oracle))
    _event_files.write(log_dir, "experiment", [(0, summary)])
    for row in rows:
        folder = os.path.join(log_dir, f"trial_{row['trial']}")
        _event_files.write(folder, "trial", _trial_summaries(oracle, row, axes))
    return str(log_dir)


def _description(oracle: Any) -> str:
    name = getattr(oracle, "algorithm", None) or type(oracle).__name__
    return f"{name} search, {len(oracle.trials)} trials"


def _trial_summaries(
    oracle: Any, row: _records.Row, axes: Sequence[Axis]
) -> Iterator[tuple[int, Any]]:
    """Yields pairs of step and summary."""
    now = time.time()
    seconds = row["seconds"] or 0
    values = _records.values_of(row)
    yield 0, _event_files.session_start(axes, values, row["trial"], now - seconds)
    curve = getattr(oracle, "curves", {}).get(row["trial"], {})
    for epoch, value in sorted(curve.items()):
        tag = f"epoch/{oracle.objective.name}"
        yield epoch + 1, _event_files.scalar(tag, value)
    for name, value in _records.metrics_of(row).items():
        if math.isfinite(value):
            yield row["best_epoch"] or 0, _event_files.scalar(name, value)
    if row["status"] != "RUNNING":
        yield 0, _event_files.session_end(row["status"], now)
