"""Which hyperparameters made the difference."""

from keras_strategies._internal import checks
from keras_strategies._internal.optional import require
from keras_strategies.tuning._studies import studies as _studies
from keras_strategies.tuning.reports import _axes as _dimensions
from keras_strategies.tuning.reports import _records

EVALUATORS = ("fanova", "ped_anova")
LEAST = 4  # trials


def hyperparameter_importance(tuner, objective=None, evaluator="fanova", seed=0):
    """How much of the differences between the trials each hyperparameter explains.

    To see what to search more finely and what to fix the next time. Optuna computes
    it, from the trials of any tuner of KerasTuner:

    - `"fanova"` fits a random forest to the results and splits the variance of its
      predictions over the whole space; the share of a hyperparameter is that of its
      own effect, without interactions. One that is not active in a trial has its
      default there, as in the authors' program. Numbers on a log scale are taken as
      their logarithms.
    - `"ped_anova"` asks by which hyperparameters the best tenth of the trials differs
      from all trials. It is not misled by a few very bad trials, and needs more of
      them. Conditional hyperparameters take part with Optuna 5 or newer.

    With fewer than some tens of trials the order is a hint and no more. Searches that
    look at a small part of the space, such as `"tpe"`, explain less than random ones.

    References:

    - Hutter, Hoos and Leyton-Brown, 2014, An Efficient Approach for Assessing
      Hyperparameter Importance, https://proceedings.mlr.press/v32/hutter14.html
    - Watanabe, Bansal and Hutter, 2023, PED-ANOVA, https://arxiv.org/abs/2304.10255

    Args:
        tuner: A `Tuner`, any tuner of KerasTuner, or its oracle, with at least 4
            completed trials.
        objective: Name of an objective or metric. `None` (default) for the (first)
            objective.
        evaluator: `"fanova"` (default; needs scikit-learn) or `"ped_anova"`.
        seed: Integer for the forest of `"fanova"`. Default 0.

    Returns:
        A dict from name to share, the largest first; the shares add up to 1.

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
    checks.choice("evaluator", evaluator, EVALUATORS)
    seed = checks.integer("seed", seed, low=0)
    oracle = _records.oracle_of(tuner)
    name, direction = _records.chosen(oracle, objective)
    rows = [
        row
        for row in _records.completed(oracle)
        if _records.value_of(row, name) is not None
    ]
    if len(rows) < LEAST:
        checks.fail(
            f"The importance needs at least {LEAST} completed trials",
            trials=len(rows),
        )
    axes = _dimensions.dimensions(oracle, rows)
    if not axes:
        checks.fail("`tuner` must search a hyperparameter", trials=len(rows))
    purpose = "`hyperparameter_importance`"
    optuna = require("optuna", purpose)
    if evaluator == "fanova":
        require("sklearn", purpose)
        judge = optuna.importance.FanovaImportanceEvaluator(seed=seed)
    else:
        judge = optuna.importance.PedAnovaImportanceEvaluator()
    way = "maximize" if direction == "max" else "minimize"
    study = _studies.study(optuna.samplers.RandomSampler(seed), [way])
    for row in rows:
        study.add_trial(_trial(row, name, axes, impute=evaluator == "fanova"))
    found = optuna.importance.get_param_importances(study, evaluator=judge)
    return {axis: float(share) for axis, share in found.items()}


def _trial(row, name, axes, impute):
    """A trial of Optuna whose numbers are positions on the axes."""
    from optuna import trial
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    params, distributions = {}, {}
    for axis in axes:
        if f"value/{axis.name}" not in row and not impute:
            continue
        value = row.get(f"value/{axis.name}", axis.default)
        if isinstance(axis, _dimensions.Numbers):
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
