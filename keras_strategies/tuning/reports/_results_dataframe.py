"""The trials of a search as a table of pandas."""

from keras_strategies._internal.optional import require
from keras_strategies.tuning.reports import _records

_FIRST = ("status", "score", "best_epoch", "seconds", "message")


def results_dataframe(tuner):
    """The trials of a search as a `pandas.DataFrame`, one row a trial.

    For looking through, filtering and saving (`.to_csv`) what a search tried. It works
    for every tuner of KerasTuner, and for a search from before: make the tuner with
    the same folder and do not search.

    The rows are in the order in which the trials started, and the index, `trial`, has
    their ids. The columns are:

    | column | contents |
    |---|---|
    | `status` | `COMPLETED`, `PRUNED`, `FAILED`, `INVALID` or `RUNNING` |
    | `score` | value of the objective; of several, their sum (see KerasTuner) |
    | `best_epoch` | epoch of that value, from 1 |
    | `seconds` | duration; missing for tuners of KerasTuner, which do not note it |
    | `message` | why the trial failed |
    | `value/NAME` | each hyperparameter; missing where it was not active |
    | `metric/NAME` | each metric of completed trials |

    Args:
        tuner: A `Tuner`, any tuner of KerasTuner, or its oracle.

    Returns:
        A `pandas.DataFrame`.

    Raises:
        ImportError: If pandas is not installed.
        TypeError: If `tuner` is no tuner.

    Example:

    ```python
    import keras_tuner
    from keras_strategies import tuning

    class Search(tuning.Tuner):
        def run_trial(self, trial, **kwargs):
            return (trial.hyperparameters.get("x") - 1) ** 2

    hp = keras_tuner.HyperParameters()
    hp.Float("x", -4, 4)
    tuner = Search(max_trials=5, algorithm="random", hyperparameters=hp)
    tuner.search(verbose=0)
    frame = tuning.results_dataframe(tuner)
    print(frame.sort_values("score")[["score", "value/x"]])
    ```
    """
    oracle = _records.oracle_of(tuner)
    pandas = require("pandas", "`results_dataframe`")
    rows = _records.rows(oracle)
    values = [f"value/{name}" for name in _records.value_names(oracle, rows)]
    others = sorted({key for row in rows for key in row} - {"trial", *_FIRST, *values})
    # Hyperband's own entries, then the metrics.
    others.sort(key=lambda key: key.startswith("metric/"))
    index = pandas.Index([row["trial"] for row in rows], name="trial", dtype=object)
    frame = pandas.DataFrame(
        {key: [row.get(key) for row in rows] for key in (*_FIRST, *values, *others)},
        index=index,
    )
    kinds = {"score": float, "best_epoch": "Int64", "seconds": float}
    return frame.astype(kinds | {key: float for key in others if "metric/" in key})
