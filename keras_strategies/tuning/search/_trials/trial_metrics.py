"""Metrics of a trial from what its fits returned."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import keras_tuner
import numpy as np
from keras_tuner import errors

from keras_strategies._internal import checks
from keras_strategies.tuning._private.oracles import is_default_objective
from keras_strategies.tuning.search._setup import misuse


def reduce_results(
    results: Any, objective: Any, from_last: bool = False
) -> tuple[dict[str, float], int]:
    """Returns the metrics of a trial and its best epoch, from 0.

    Args:
        results: What `run_trial` returned: a `History`, a dict, a number, or a list of
            these, over which the metrics and the epoch are averaged.
        objective: The objective of the oracle.
        from_last: Whether the last epoch counts in place of the best one.
    """
    if not isinstance(results, list):
        results = [results]
    if not results:
        raise errors.FatalTypeError("The trial returned an empty list of results.")
    pairs = [_metrics_of(result, objective, from_last) for result in results]
    # Folds may differ in their metrics if one of them was stopped.
    names = set.intersection(*(set(metrics) for metrics, _ in pairs))
    metrics = {
        name: float(np.mean([metrics[name] for metrics, _ in pairs])) for name in names
    }
    return metrics, int(np.mean([epoch for _, epoch in pairs]))


def _metrics_of(
    result: Any, objective: Any, from_last: bool
) -> tuple[dict[str, float], int]:
    if isinstance(result, keras.callbacks.History):
        if from_last and result.epoch:
            last = {name: values[-1] for name, values in result.history.items()}
            return _with_objective(last, objective), result.epoch[-1]
        return _best_epoch(result.history, objective)
    if isinstance(result, int | float | np.floating) and not isinstance(result, bool):
        return {objective.name: float(result)}, 0
    if isinstance(result, dict):
        return _with_objective(result, objective), 0
    raise errors.FatalTypeError(
        "A trial must return what `fit` returns, a dict of metrics, a number, or a "
        f"list of these. Received: {result!r}."
    )


def _with_objective(metrics: Mapping[str, Any], objective: Any) -> dict[str, float]:
    """`metrics` with the sum that replaces several objectives."""
    numbers = {name: float(value) for name, value in metrics.items()}
    if objective.name not in numbers:
        if not objective.has_value(numbers):
            names = [o.name for o in getattr(objective, "objectives", [objective])]
            if is_default_objective(objective):
                raise errors.FatalTypeError(
                    checks.message(
                        "Without an `objective` a trial must return a single number",
                        {"metrics": sorted(numbers)},
                        'Name one: Tuner(objective="val_loss"), or return its value.',
                    )
                )
            raise errors.FatalValueError(misuse.missing_objective(names, numbers))
        numbers[objective.name] = float(objective.get_value(numbers))
    return numbers


def _best_epoch(
    history: Mapping[str, Sequence[Any]], objective: Any
) -> tuple[dict[str, float], int]:
    epochs = range(max((len(values) for values in history.values()), default=0))
    logs = ({n: v[k] for n, v in history.items() if k < len(v)} for k in epochs)
    best = _best(zip(epochs, logs, strict=True), objective)
    if best is None:
        raise errors.FailedTrialError("`fit` trained for no epoch.")
    return best


def _best(
    steps: Iterable[tuple[int, Mapping[str, Any]]], objective: Any
) -> tuple[dict[str, float], int] | None:
    """Metrics and number of the best of steps, `None` if there is none."""
    best: tuple[dict[str, float], int] | None = None
    for step, logs in steps:
        metrics = _with_objective(logs, objective)
        value = metrics[objective.name]
        is_better = best is None or objective.better_than(
            value, best[0][objective.name]
        )
        # NaN is not worse than anything: a first epoch with it must not remain.
        if is_better or best is None or not math.isfinite(best[0][objective.name]):
            best = metrics, step
    return best


def reported_metrics(
    trial: keras_tuner.engine.trial.Trial, objective: Any
) -> tuple[dict[str, float], int] | None:
    """Returns what `run_trial` has told the oracle itself, `None` if nothing.

    Args:
        trial: The record of the oracle.
        objective: The objective of the oracle.
    """
    steps: dict[int, dict[str, float]] = {}
    for name in trial.metrics.metrics:
        for observation in trial.metrics.get_history(name):
            steps.setdefault(observation.step, {})[name] = observation.mean()
    ordered = sorted(steps.items())
    complete = [(step, logs) for step, logs in ordered if objective.has_value(logs)]
    return _best(complete, objective)
