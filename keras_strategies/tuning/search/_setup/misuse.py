"""Misuse of a search, noticed before it costs trials."""

import difflib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import keras_tuner
from keras_tuner.engine import metrics_tracking

from keras_strategies._internal import checks
from keras_strategies.tuning.hypermodels._tuned_fit import TunedFit

# What users most often name; nearest names are looked for among these.
_NAMES = (
    "loss",
    "accuracy",
    "binary_accuracy",
    "categorical_accuracy",
    "sparse_categorical_accuracy",
    "top_k_categorical_accuracy",
    "sparse_top_k_categorical_accuracy",
    "auc",
    "precision",
    "recall",
    "f1_score",
    "mean_absolute_error",
    "mean_squared_error",
    "root_mean_squared_error",
    "r2_score",
    "mae",
    "mse",
)


def nearest(name: str, names: Collection[str]) -> str:
    """Returns a sentence with the name that was probably meant, or ""."""
    matches = difflib.get_close_matches(name, names, 1, 0.75)
    return f"Did you mean {matches[0]!r}?" if matches else ""


def check_objective_names(objective: Any) -> None:
    """Names what was probably meant by an objective whose direction is not known."""
    several = objective if isinstance(objective, list | tuple) else [objective]
    for name in several:
        if not isinstance(name, str):
            continue
        if metrics_tracking.infer_metric_direction(name) is not None:
            continue
        options = [prefix + n for prefix in ("val_", "") for n in _NAMES]
        own = f'keras_tuner.Objective({name!r}, "max")'
        checks.fail(
            "`objective` must be a metric of Keras, or say its direction",
            objective=name,
            fix=f"{nearest(name, options)} For a metric of your own pass {own} or "
            '"min".'.strip(),
        )


def missing_objective(names: Sequence[str], metrics: Collection[str]) -> str:
    """Returns why a trial has no value of an objective, and what to do."""
    missing = next(name for name in names if name not in metrics)
    text = checks.message(
        f"The objective {', '.join(names)} is not among the metrics of the trial",
        {"metrics": sorted(metrics)},
    )
    plain = missing.removeprefix("val_")
    has_validation = any(name.startswith("val_") for name in metrics)
    if plain != missing and plain in metrics and not has_validation:
        fix = "Pass validation_data= or validation_split= to `search`, or `cv`."
    else:
        fix = nearest(missing, metrics) or "Compile the model with this metric."
    return f"{text} {fix}"


def check_hypermodel(hypermodel: Any) -> None:
    """Checks that there is something to build, where no `run_trial` is overridden."""
    if hypermodel is None:
        checks.fail(
            "`hypermodel` must be a function build(hp), a HyperModel or a compiled "
            "model",
            fix="Or override `run_trial(trial)` in a subclass of Tuner.",
            hypermodel=None,
        )


def check_data(
    hypermodel: Any, fit_args: Sequence[Any], fit_kwargs: Mapping[str, Any]
) -> None:
    """Checks that there is something to train on.

    A hypermodel with a `fit` of its own may load its data itself.
    """
    if isinstance(hypermodel, TunedFit):  # which checks them in each trial, too
        hypermodel._check_targets(fit_kwargs.get("y", (*fit_args, None, None)[1]))
    if hypermodel is None or type(hypermodel).fit is not keras_tuner.HyperModel.fit:
        return
    if not fit_args and fit_kwargs.get("x") is None:
        checks.fail(
            "`search` must get data, as `model.fit` does",
            fix="Call tuner.search(x, y, validation_data=(x_val, y_val)).",
            x=None,
        )


def check_compiled(model: Any) -> None:
    """Checks that a model which `fit` trains is compiled; ends the search if not."""
    if not getattr(model, "compiled", True):
        raise keras_tuner.errors.FatalValueError(
            checks.message(
                "The model that `build(hp)` returns must be compiled",
                {"model": model.name},
                "Call model.compile(optimizer, loss) before `return model`.",
            )
        )


def check_new(variables: Sequence[Any], trained: Mapping[int, Any]) -> None:
    """Ends a search whose models share what is trained: one begins as another ended."""
    shared = [v.path for v in variables if trained.get(id(v)) is v]
    if shared:
        raise keras_tuner.errors.FatalValueError(
            checks.message(
                "`build(hp)` must make all that is trained: models share weights",
                {"shared": shared[:3]},
                "Construct or load these layers inside of the function, or freeze "
                "them.",
            )
        )
