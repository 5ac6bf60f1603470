"""Pictures of a search; each takes any tuner of KerasTuner."""

from keras_strategies._internal import checks
from keras_strategies._internal.optional import require
from keras_strategies.tuning.reports import _drawing, _records
from keras_strategies.tuning.reports._importance import hyperparameter_importance


def _axes(ax, purpose, width=6.4, height=4.2):
    if ax is not None:
        return ax
    pyplot = require("matplotlib.pyplot", f"`{purpose}`")
    return pyplot.subplots(figsize=(width, height), layout="constrained")[1]


def plot_history(tuner, objective=None, ax=None):
    """The result of each trial, and the best so far, in the order of their start.

    Shows whether the search still finds something better, and how many trials failed
    or were pruned.

    Args:
        tuner: A `Tuner`, any tuner of KerasTuner, or its oracle.
        objective: Name of an objective or of another metric. `None` (default) for the
            (first) objective.
        ax: The Matplotlib `Axes` to draw on. A new figure by default.

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
    _records.completed(oracle)
    ax = _axes(ax, "plot_history")
    _drawing.history(ax, oracle, objective)
    return ax


def plot_intermediate_values(tuner, ax=None):
    """The objective after each epoch of each trial, and where trials were pruned.

    Shows whether a pruner stops the right trials, and whether the trials have epochs
    enough. Tuners of KerasTuner keep no value but the best, so this takes a
    `keras_strategies.tuning.Tuner`. Of several folds or executions the first is shown.

    Args:
        tuner: A `Tuner`, or its oracle.
        ax: The Matplotlib `Axes` to draw on. A new figure by default.

    Returns:
        The Matplotlib `Axes`.

    Raises:
        ValueError: If no trial has completed or no values of epochs are there.
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
    _records.completed(oracle)
    _drawing.check_curves(oracle)
    ax = _axes(ax, "plot_intermediate_values")
    _drawing.intermediate(ax, oracle)
    return ax


def plot_importance(tuner, objective=None, evaluator="fanova", seed=0, ax=None):
    """The shares of `hyperparameter_importance` as bars.

    Args:
        tuner: A `Tuner`, any tuner of KerasTuner, or its oracle, with at least 4
            completed trials.
        objective: Name of an objective or of another metric. `None` (default) for the
            (first) objective.
        evaluator: `"fanova"` (default) or `"ped_anova"`, see
            `hyperparameter_importance`.
        seed: Integer for the forest of `"fanova"`. Default 0.
        ax: The Matplotlib `Axes` to draw on. A new figure by default.

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
    shares = hyperparameter_importance(tuner, objective, evaluator, seed)
    ax = _axes(ax, "plot_importance")
    name, _ = _records.chosen(_records.oracle_of(tuner), objective)
    _drawing.importance(ax, shares, name)
    return ax


def plot_parallel_coordinates(tuner, names=None, objective=None, ax=None):
    """Each trial as a line through its hyperparameters to its result.

    Shows which combinations the good trials share. The line of the best trial is
    orange, those of the others are the darker the better they ranked; the result has
    its best end at the top. A hyperparameter that was not active is passed below.

    Args:
        tuner: A `Tuner`, any tuner of KerasTuner, or its oracle.
        names: Hyperparameters to draw, in this order. `None` (default) for all that
            were searched.
        objective: Name of an objective or of another metric. `None` (default) for the
            (first) objective.
        ax: The Matplotlib `Axes` to draw on. A new figure by default.

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
    count = len(_drawing.axes_named(oracle, _records.completed(oracle), names))
    ax = _axes(ax, "plot_parallel_coordinates", width=max(6.4, 1.3 * count + 1.3))
    _drawing.parallel(ax, oracle, names, objective)
    return ax


def plot_slices(tuner, names=None, objective=None, figure=None):
    """The result over each hyperparameter, one small picture each.

    Shows where in its range the good values of a hyperparameter lie, and, by the
    colours, where the search went. Trials in which it was not active are left out.

    Args:
        tuner: A `Tuner`, any tuner of KerasTuner, or its oracle.
        names: Hyperparameters to draw, in this order. `None` (default) for all that
            were searched.
        objective: Name of an objective or of another metric. `None` (default) for the
            (first) objective.
        figure: The Matplotlib `Figure` to draw on. A new one by default.

    Returns:
        The Matplotlib `Figure`.

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
    tuning.plot_slices(tuner).savefig("slices.png")
    ```
    """
    oracle = _records.oracle_of(tuner)
    count = len(_drawing.axes_named(oracle, _records.completed(oracle), names))
    if figure is None:
        pyplot = require("matplotlib.pyplot", "`plot_slices`")
        figure = pyplot.figure(
            figsize=_drawing.slices_size(count), layout="constrained"
        )
    _drawing.slices(figure, oracle, names, objective)
    return figure


def plot_pareto_front(tuner, objectives=None, ax=None):
    """Two objectives against each other, and the trials that no other one beats.

    Shows what a gain in one costs in the other. With more than two objectives the
    points of the front are those of all objectives together; with two metrics that
    are no objectives, those of these two.

    Args:
        tuner: A `Tuner`, any tuner of KerasTuner, or its oracle.
        objectives: Names of two objectives or metrics, `(across, up)`. `None`
            (default) for the first two objectives.
        ax: The Matplotlib `Axes` to draw on. A new figure by default.

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
    both = _drawing.two(oracle, objectives)
    ax = _axes(ax, "plot_pareto_front")
    _drawing.pareto(ax, oracle, both)
    return ax
