"""Importance of hyperparameters by fANOVA and PED-ANOVA."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from keras_strategies._internal import checks
from keras_strategies._internal.optional import require
from keras_strategies.tuning import _studies
from keras_strategies.tuning.reports import _records
from keras_strategies.tuning.reports._hyperparameter_axes import (
    Axis,
    NumericAxis,
    hyperparameter_axes,
)
from keras_strategies.tuning.reports._records import TunerOrOracle
from keras_strategies.tuning.reports.importance_report import ImportanceReport

if TYPE_CHECKING:
    import optuna

Evaluator: TypeAlias = Literal["fanova", "ped_anova"]
MIN_TRIALS = 4
_PURPOSE = "`hyperparameter_importance`"


def hyperparameter_importance(
    tuner: TunerOrOracle,
    objective: str | None = None,
    evaluator: Evaluator = "fanova",
    seed: int = 0,
) -> ImportanceReport:
    """Returns how much of the differences between trials each hyperparameter explains.

    Shows what to search more finely and what to fix in the next search. Optuna
    computes it, from the trials of any tuner of KerasTuner:

    - `"fanova"` fits a random forest to the results and decomposes the variance of its
      predictions over the whole space; the importance of a hyperparameter is the
      fraction of its main effect, without interactions. A hyperparameter that is not
      active in a trial has its default there, as in the authors' program. Numbers on a
      log scale enter as their logarithms.
    - `"ped_anova"` compares the distribution of the best tenth of the trials with that
      of all trials. It is not misled by a few very bad trials, but needs more trials.
      Conditional hyperparameters are included with Optuna 5 or newer.

    With fewer than some tens of trials the order is no more than a hint. Searches that
    concentrate on a small part of the space, such as `"tpe"`, explain less than random
    ones.

    References:

    - Hutter, Hoos and Leyton-Brown, 2014, An Efficient Approach for Assessing
      Hyperparameter Importance, https://proceedings.mlr.press/v32/hutter14.html
    - Watanabe, Bansal and Hutter, 2023, PED-ANOVA, https://arxiv.org/abs/2304.10255

    Args:
        tuner: A `Tuner`, any tuner of KerasTuner, or its oracle, with at least 4
            completed trials.
        objective: Name of an objective or metric. Defaults to `None`, the (first)
            objective.
        evaluator: `"fanova"` (needs scikit-learn) or `"ped_anova"`. Defaults to
            `"fanova"`.
        seed: Integer seed of the random forest of `"fanova"`. Defaults to `0`.

    Returns:
        An `ImportanceReport`: a mapping from name to importance, the most important
        first, with `table()`, `plot()` and `to_dataframe()`. Its values add up to 1.

    Raises:
        ValueError: If there are too few completed trials or no such metric.
        ImportError: If Optuna or scikit-learn is not installed.

    Example:

    ```python
    import keras_tuner
    from keras_strategies import tuning

    class Search(tuning.Tuner):
        def run_trial(self, trial, **kwargs):
            hp = trial.hyperparameters
            return hp.get("rate") ** 2 + 0.01 * hp.get("units")

    hp = keras_tuner.HyperParameters()
    hp.Float("rate", -4, 4)
    hp.Int("units", 1, 9)
    tuner = Search(max_trials=20, algorithm="random", hyperparameters=hp, seed=1)
    tuner.search(verbose=0)
    print(tuning.hyperparameter_importance(tuner))  # nearly all of it is the rate's
    ```
    """
    checks.choice("evaluator", evaluator, get_args(Evaluator))
    seed = checks.integer("seed", seed, low=0)
    oracle = _records.oracle_of(tuner)
    name, direction = _records.resolve_objective(oracle, objective)
    rows = _records.rows_with_metric(oracle, name)
    if len(rows) < MIN_TRIALS:
        checks.fail(
            f"The importance needs at least {MIN_TRIALS} completed trials",
            trials=len(rows),
        )
    axes = hyperparameter_axes(oracle, rows)
    if not axes:
        checks.fail("`tuner` must search a hyperparameter", trials=len(rows))
    study = _study_of(rows, name, direction, axes, impute=evaluator == "fanova")
    importance = _importances(study, evaluator, seed)
    return ImportanceReport(importance, name, evaluator, len(rows))


def _importances(study: "optuna.Study", evaluator: str, seed: int) -> dict[str, float]:
    optuna = require("optuna", _PURPOSE)
    if evaluator == "fanova":
        require("sklearn", _PURPOSE)
        judge = optuna.importance.FanovaImportanceEvaluator(seed=seed)
    else:
        judge = optuna.importance.PedAnovaImportanceEvaluator()
    importances = optuna.importance.get_param_importances(study, evaluator=judge)
    return {name: float(value) for name, value in importances.items()}


def _study_of(
    rows: Sequence[_records.Row],
    name: str,
    direction: _records.Direction,
    axes: Sequence[Axis],
    impute: bool,
) -> "optuna.Study":
    """A study with the trials of any search, its parameters positions on the axes."""
    optuna = require("optuna", _PURPOSE)
    sampler = optuna.samplers.RandomSampler(0)  # never asked
    word = "maximize" if direction == "max" else "minimize"
    study = _studies.create_study(sampler, [word])
    for row in rows:
        study.add_trial(_trial(row, name, axes, impute))
    return study


def _trial(
    row: _records.Row, name: str, axes: Sequence[Axis], impute: bool
) -> "optuna.trial.FrozenTrial":
    from optuna import trial
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    params: dict[str, Any] = {}
    distributions: dict[str, Any] = {}
    for axis in axes:
        key = f"value/{axis.name}"
        if key not in row and not impute:
            continue
        # fANOVA needs a value for each hyperparameter; the program of its authors uses
        # the default of those that are not active.
        value = row.get(key, axis.default)
        if isinstance(axis, NumericAxis):
            low, high = axis.position(axis.low), axis.position(axis.high)
            distributions[axis.name] = FloatDistribution(low, high)
            params[axis.name] = axis.position(value)
        else:
            choices = tuple(range(len(axis.values)))
            distributions[axis.name] = CategoricalDistribution(choices)
            params[axis.name] = int(axis.position(value))
    return trial.create_trial(
        params=params, distributions=distributions, value=row[f"metric/{name}"]
    )
