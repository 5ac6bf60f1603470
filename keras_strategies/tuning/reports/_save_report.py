"""A search as one HTML page."""

import os
import pathlib

from keras_strategies._internal import checks, files
from keras_strategies.tuning.reports import _page as _search_page
from keras_strategies.tuning.reports import _records


def save_report(tuner, path, title=None):
    """Writes what a search found as one HTML page, pictures included.

    To keep, to send and to compare: the best trial or the Pareto front, all pictures
    of this package, a table of the trials and the messages of those that failed. It
    says when the best value lies at the end of its range. The file needs no other
    one and loads nothing; it takes any tuner of KerasTuner, also one made again from
    the folder of a search.

    Args:
        tuner: A `Tuner`, any tuner of KerasTuner, or its oracle.
        path: File to write, ending in `.html`; its folder must exist.
        title: Heading of the page. Default: the name of the project.

    Returns:
        The path, as text.

    Raises:
        ValueError: If no trial has completed or `path` does not end in `.html`.
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
    checks.instance("path", path, (str, os.PathLike))
    checks.instance("title", title, str, optional=True)
    path = pathlib.Path(path)
    if path.suffix.lower() != ".html":
        checks.fail("`path` must end in .html", path=str(path))
    if not path.parent.is_dir():
        rule = "The folder of `path` must exist"
        raise FileNotFoundError(checks.message(rule, {"path": str(path)}))
    oracle = _records.oracle_of(tuner)
    _records.completed(oracle)
    _search_page.require_libraries("`save_report`")
    title = title or getattr(oracle, "_project_name", None) or "Search"
    files.replace(path, _search_page.build(oracle, title).encode())
    return str(path)
