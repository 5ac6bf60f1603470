"""Trials of a search as a data frame."""

from typing import TYPE_CHECKING

from keras_strategies._internal.optional import require
from keras_strategies.tuning.reports._records import TunerOrOracle
from keras_strategies.tuning.reports.search_report import SearchReport

if TYPE_CHECKING:
    import pandas


def results_dataframe(tuner: TunerOrOracle) -> "pandas.DataFrame":
    """Returns the trials of a search as a `pandas.DataFrame`, one row for each trial.

    For looking through, filtering and saving (`.to_csv`) what a search tried: the
    `to_dataframe` of a `SearchReport`. It works for every tuner of KerasTuner, and for
    an earlier search: make the tuner with the same folder and do not search.

    The rows are in the order in which the trials started, and the index, `trial`, has
    their ids. The columns are:

    | column | contents |
    |---|---|
    | `status` | as in `SearchReport` |
    | `score` | value of the objective; of several, their sum (see KerasTuner) |
    | `best_epoch` | epoch of that value, from 1 |
    | `seconds` | duration; missing for tuners of KerasTuner, which do not record it |
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
    report = SearchReport(tuner)
    require("pandas", "`results_dataframe`")
    return report.to_dataframe()
