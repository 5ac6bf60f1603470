"""Plots of a search; each takes any tuner of KerasTuner and returns its axes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from keras_strategies._internal import checks
from keras_strategies._internal.optional import require
from keras_strategies.tuning.reports import _drawing, _records
from keras_strategies.tuning.reports._importance import (
    Evaluator,
    hyperparameter_importance,
)
from keras_strategies.tuning.reports._records import TunerOrOracle

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def _axes(
    ax: "Axes | None", owner: str, width: float = 6.4, height: float = 4.2
) -> "Axes":
    """`ax`, or the axes of a new figure."""
    if ax is not None:
        return ax
    pyplot = require("matplotlib.pyplot", f"`{owner}`")
    return pyplot.subplots(figsize=(width, height), layout="constrained")[1]


def plot_history(
    tuner: TunerOrOracle, objective: str | None = None, ax: "Axes | None" = None
) -> "Axes":
    """Plots the result of each trial and the best so far, in the order of their start.

    Shows whether the search still improves, and how many trials failed or were pruned.

    Args:
        tuner: A `Tuner`, any tuner of KerasTuner, or its oracle.
        objective: Name of an objective or of another metric. Defaults to `None`, the
            (first) objective.
        ax: The Matplotlib `Axes` to draw on. Defaults to `None`, those of a new figure.

    Returns:
        The Matplotlib `Axes`.

    Raises:
        ValueError: If no trial has completed or there is no such metric.
        ImportError: If Matplotlib is not installed.

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
    tuning.plot_history(tuner).figure.savefig("history.png")
    ```
    """
    oracle = _records.oracle_of(tuner)
    _records.completed_rows(oracle)
    ax = _axes(ax, "plot_history")
    _drawing.draw_history(ax, oracle, objective)
    return ax


def plot_intermediate_values(tuner: TunerOrOracle, ax: "Axes | None" = None) -> "Axes":
    """Plots the objective after each epoch of each trial, and where it was pruned.

    Shows whether a pruner stops the right trials, and whether the trials have enough
    epochs. Tuners of KerasTuner record the best value only, so this takes a
    `keras_strategies.tuning.Tuner`. Of several folds or executions the first is shown.

    Args:
        tuner: A `Tuner`, or its oracle.
        ax: The Matplotlib `Axes` to draw on. Defaults to `None`, those of a new figure.

    Returns:
        The Matplotlib `Axes`.

    Raises:
        ValueError: If no trial has completed or no values of epochs were recorded.
        ImportError: If Matplotlib is not installed.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import tuning

    def build(hp):
        model = keras.Sequential([keras.layers.Dense(1)])
        rate = hp.Float("rate", 1e-3, 1.0, sampling="log")
        model.compile(keras.optimizers.SGD(rate), loss="mse")
        return model

    x = np.linspace(-1, 1, 32).reshape(32, 1)
    tuner = tuning.Tuner(build, "loss", max_trials=3, algorithm="random")
    tuner.search(x, 2 * x, epochs=3, verbose=0)
    tuning.plot_intermediate_values(tuner).figure.savefig("epochs.png")
    ```
    """
    oracle = _records.oracle_of(tuner)
    _records.completed_rows(oracle)
    _drawing.check_curves(oracle)
    ax = _axes(ax, "plot_intermediate_values")
    _drawing.draw_intermediate_values(ax, oracle)
    return ax


def plot_importance(
    tuner: TunerOrOracle,
    objective: str | None = None,
    evaluator: Evaluator = "fanova",
    seed: int = 0,
    ax: "Axes | None" = None,
) -> "Axes":
    """Plots the result of `hyperparameter_importance` as bars.

    Args:
        tuner: A `Tuner`, any tuner of KerasTuner, or its oracle, with at least 4
            completed trials.
        objective: Name of an objective or of another metric. Defaults to `None`, the
            (first) objective.
        evaluator: `"fanova"` or `"ped_anova"`, see `hyperparameter_importance`.
            Defaults to `"fanova"`.
        seed: Integer seed of the random forest of `"fanova"`. Defaults to `0`.
        ax: The Matplotlib `Axes` to draw on. Defaults to `None`, those of a new figure.

    Returns:
        The Matplotlib `Axes`.

    Raises:
        ValueError: If fewer than 4 trials have completed or there is no such metric.
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
    hp.Float("nothing", 0, 1)
    tuner = Search(max_trials=8, algorithm="random", hyperparameters=hp)
    tuner.search(verbose=0)
    tuning.plot_importance(tuner).figure.savefig("importance.png")
    ```
    """
    importance = hyperparameter_importance(tuner, objective, evaluator, seed)
    ax = _axes(ax, "plot_importance")
    name, _ = _records.resolve_objective(_records.oracle_of(tuner), objective)
    _drawing.draw_importance(ax, importance, name)
    return ax


def plot_parallel_coordinates(
    tuner: TunerOrOracle,
    names: Sequence[str] | None = None,
    objective: str | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Plots each trial as a line through its hyperparameters to its result.

    Shows which combinations the good trials have in common. The line of the best trial
    is orange, the others are darker the better they rank, and the best result is at the
    top of its axis. Below the axes are hyperparameters that were not active.

    Args:
        tuner: A `Tuner`, any tuner of KerasTuner, or its oracle.
        names: Names of the hyperparameters to draw, in this order. Defaults to `None`,
            all that were searched.
        objective: Name of an objective or of another metric. Defaults to `None`, the
            (first) objective.
        ax: The Matplotlib `Axes` to draw on. Defaults to `None`, those of a new figure.

    Returns:
        The Matplotlib `Axes`.

    Raises:
        ValueError: If no trial has completed or there is no such metric
            or hyperparameter.
        ImportError: If Matplotlib is not installed.

    Example:

    ```python
    import keras_tuner
    from keras_strategies import tuning

    class Search(tuning.Tuner):
        def run_trial(self, trial, **kwargs):
            return trial.hyperparameters.get("x") ** 2

    hp = keras_tuner.HyperParameters()
    hp.Float("x", -4, 4)
    hp.Choice("kind", ["a", "b"])
    tuner = Search(max_trials=8, algorithm="random", hyperparameters=hp)
    tuner.search(verbose=0)
    tuning.plot_parallel_coordinates(tuner).figure.savefig("parallel.png")
    ```
    """
    oracle = _records.oracle_of(tuner)
    count = len(_drawing.checked_axes(oracle, _records.completed_rows(oracle), names))
    ax = _axes(ax, "plot_parallel_coordinates", width=max(6.4, 1.3 * count + 1.3))
    _drawing.draw_parallel_coordinates(ax, oracle, names, objective)
    return ax


def plot_slices(
    tuner: TunerOrOracle,
    names: Sequence[str] | None = None,
    objective: str | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Plots the result over each hyperparameter, in one small plot for each.

    Shows where in its range the good values of a hyperparameter are, and, by the
    colours, where the search went. Trials in which it was not active are left out.

    Args:
        tuner: A `Tuner`, any tuner of KerasTuner, or its oracle.
        names: Names of the hyperparameters to draw, in this order. Defaults to `None`,
            all that were searched.
        objective: Name of an objective or of another metric. Defaults to `None`, the
            (first) objective.
        ax: The Matplotlib `Axes` in whose area the small plots are drawn; it must be a
            subplot. Defaults to `None`, the whole of a new figure.

    Returns:
        The Matplotlib `Axes` around the small plots, which `ax.figure.axes` lists.

    Raises:
        ValueError: If no trial has completed, there is no such metric or
            hyperparameter, or `ax` is no subplot.
        ImportError: If Matplotlib is not installed.

    Example:

    ```python
    import keras_tuner
    from keras_strategies import tuning

    class Search(tuning.Tuner):
        def run_trial(self, trial, **kwargs):
            return trial.hyperparameters.get("x") ** 2

    hp = keras_tuner.HyperParameters()
    hp.Float("x", -4, 4)
    hp.Choice("kind", ["a", "b"])
    tuner = Search(max_trials=8, algorithm="random", hyperparameters=hp)
    tuner.search(verbose=0)
    tuning.plot_slices(tuner).figure.savefig("slices.png")
    ```
    """
    oracle = _records.oracle_of(tuner)
    count = len(_drawing.checked_axes(oracle, _records.completed_rows(oracle), names))
    ax = _axes(ax, "plot_slices", *_drawing.slices_size(count))
    _drawing.draw_slices(ax, oracle, names, objective)
    return ax


def plot_pareto_front(
    tuner: TunerOrOracle,
    objectives: Sequence[str] | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Plots two objectives against each other, and the Pareto front of the trials.

    Shows what a gain in one objective costs in the other. With more than two
    objectives the front is that of all of them; with two metrics that are not
    objectives, the front of these two.

    Args:
        tuner: A `Tuner`, any tuner of KerasTuner, or its oracle.
        objectives: Names of two objectives or metrics, `(x axis, y axis)`. Defaults
            to `None`, the first two objectives.
        ax: The Matplotlib `Axes` to draw on. Defaults to `None`, those of a new figure.

    Returns:
        The Matplotlib `Axes`.

    Raises:
        ValueError: If no trial has completed, or there are not two such metrics.
        ImportError: If Matplotlib is not installed.

    Example:

    ```python
    import keras_tuner
    from keras_strategies import tuning

    class Search(tuning.Tuner):
        def run_trial(self, trial, **kwargs):
            x = trial.hyperparameters.get("x")
            return {"loss": (x - 1) ** 2, "size": x}

    hp = keras_tuner.HyperParameters()
    hp.Float("x", -4, 4)
    objectives = [keras_tuner.Objective(name, "min") for name in ("loss", "size")]
    tuner = Search(None, objectives, max_trials=8, hyperparameters=hp)
    tuner.search(verbose=0)
    tuning.plot_pareto_front(tuner).figure.savefig("front.png")
    ```
    """
    oracle = _records.oracle_of(tuner)
    if objectives is not None:
        checks.instance("objectives", objectives, (list, tuple))
    pair = _drawing.front_objectives(oracle, objectives)
    ax = _axes(ax, "plot_pareto_front")
    _drawing.draw_pareto_front(ax, oracle, pair)
    return ax
