"""Report of a search as a file."""

import os

from keras_strategies._internal import checks, reports
from keras_strategies.tuning.reports import _page, _records
from keras_strategies.tuning.reports._records import TunerOrOracle
from keras_strategies.tuning.reports.search_report import SearchReport


def save_report(
    tuner: TunerOrOracle, path: str | os.PathLike[str], title: str | None = None
) -> str:
    """Writes the results of a search as one HTML page, plots included.

    To keep, to send and to compare: the best trial or the Pareto front, all plots of
    this package, a table of the trials and the messages of those that failed. It
    warns when the best value is at the end of its range. The page is one file that
    loads nothing else. The search may be that of any tuner of KerasTuner, also one
    made again from its folder. With `.json` the rows are written as JSON.

    Args:
        tuner: A `Tuner`, any tuner of KerasTuner, or its oracle.
        path: File to write, ending in `.html` or `.json`; its folder must exist.
        title: Heading of the page. Defaults to `None`, the name of the project.

    Returns:
        The path as `str`.

    Raises:
        ValueError: If no trial has completed or `path` has another ending.
        FileNotFoundError: If the folder does not exist.
        ImportError: If Matplotlib, Optuna or scikit-learn is not installed.

    Example:

    ```python
    import keras_tuner
    from keras_strategies import tuning

    class Search(tuning.Tuner):
        def run_trial(self, trial, **kwargs):
            return trial.hyperparameters.get("x") ** 2

    hp = keras_tuner.HyperParameters()
    hp.Float("x", -4, 4)
    tuner = Search(max_trials=8, algorithm="random", hyperparameters=hp)
    tuner.search(verbose=0)
    tuning.save_report(tuner, "report.html", title="The smallest square")
    ```
    """
    checks.instance("title", title, str, optional=True)
    target = reports.report_path(path)
    report = SearchReport(tuner, title)
    _records.completed_rows(_records.oracle_of(tuner))
    if target.suffix.lower() == ".html":
        _page.require_libraries("`save_report`")
    return report.save_report(target)
