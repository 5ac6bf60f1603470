"""A search for TensorBoard's HParams dashboard."""

import math
import os
import time

from keras_strategies._internal import checks
from keras_strategies.tuning.reports import _axes as _dimensions
from keras_strategies.tuning.reports import _event_files, _records


def log_hparams(tuner, log_dir):
    """Writes the trials of a search for TensorBoard's HParams dashboard.

    `tensorboard --logdir LOG_DIR` then shows them as a table that can be sorted and
    filtered, as parallel coordinates and as scatter plots. It takes any tuner of
    KerasTuner, also one made again from the folder of a search, on every backend.
    Called again, it replaces what it wrote.

    There is a run for each trial with its hyperparameters (active ones only), its
    status, duration and metrics at the best epoch; with a `Tuner` also the course of
    the objective, as `epoch/NAME`.

    To watch trials while they train pass `keras.callbacks.TensorBoard(folder)` to
    `search` instead, and another folder here: a `Tuner` gives each trial a folder of
    its own there and writes its hyperparameters beside the curves.

    Args:
        tuner: A `Tuner`, any tuner of KerasTuner, or its oracle.
        log_dir: Folder to write to; it is made if it does not exist.

    Returns:
        The folder, as text.

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
    rows = _records.rows(oracle)
    axes = _dimensions.dimensions(oracle, rows)
    known = {key[len("metric/") :] for row in rows for key in row if "metric/" in key}
    objectives = list(_records.objectives(oracle))
    metrics = [*objectives, *sorted(known - set(objectives))]
    summary = _event_files.experiment(axes, metrics, _description(oracle))
    _event_files.write(log_dir, "experiment", [(0, summary)])
    for row in rows:
        folder = os.path.join(log_dir, f"trial_{row['trial']}")
        _event_files.write(folder, "trial", _trial(oracle, row, axes))
    return str(log_dir)


def _description(oracle):
    name = getattr(oracle, "algorithm", None) or type(oracle).__name__
    return f"{name} search, {len(oracle.trials)} trials"


def _trial(oracle, row, axes):
    """Pairs of step and summary."""
    now = time.time()
    values = {a.name: row[f"value/{a.name}"] for a in axes if f"value/{a.name}" in row}
    seconds = row["seconds"] or 0
    yield 0, _event_files.session_start(axes, values, row["trial"], now - seconds)
    curve = getattr(oracle, "_curves", {}).get(row["trial"], {})
    for epoch, value in sorted(curve.items()):
        tag = f"epoch/{oracle.objective.name}"
        yield epoch + 1, _event_files.scalar(tag, value)
    for key, value in row.items():
        if key.startswith("metric/") and math.isfinite(value):
            name = key[len("metric/") :]
            yield row["best_epoch"] or 0, _event_files.scalar(name, value)
    if row["status"] != "RUNNING":
        yield 0, _event_files.session_end(row["status"], now)
