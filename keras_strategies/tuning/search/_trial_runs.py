"""One trial: its folds and executions, what happens after an epoch, its result."""

import json
import math
import os

import keras
import numpy as np
from keras_tuner import errors

from keras_strategies._internal import checks


def folds(cv, args, kwargs, seed):
    """Yields `(args, kwargs)` of `fit` for each fold of the arrays given to it."""
    if kwargs.get("validation_data") is not None or kwargs.get("validation_split"):
        checks.fail(
            "`validation_data` and `validation_split` must not be given with `cv`",
            cv=cv,
            fix="Each fold is the validation data of the others.",
        )
    names = ("x", "y")
    given = dict(zip(names, args, strict=False)) | {
        name: kwargs[name] for name in names if name in kwargs
    }
    if len(args) > 2 or set(given) != {"x", "y"}:
        checks.fail("`cv` needs `x` and `y` as arrays", given=sorted(given))
    x, y = given["x"], given["y"]
    rest = {k: v for k, v in kwargs.items() if k not in ("x", "y", "sample_weight")}
    weight = kwargs.get("sample_weight")
    for train, test in splits(cv, x, y, seed):
        validation = [_rows(x, test), _rows(y, test)]
        fold = {"x": _rows(x, train), "y": _rows(y, train), **rest}
        if weight is not None:
            fold["sample_weight"] = _rows(weight, train)
            validation.append(_rows(weight, test))
        yield (), {**fold, "validation_data": tuple(validation)}


def _rows(data, index):
    return keras.tree.map_structure(lambda part: np.asarray(part)[index], data)


def splits(cv, x, y, seed):
    """Pairs of training and test rows: the same for each trial."""
    count = len(np.asarray(keras.tree.flatten(x)[0]))
    if isinstance(cv, int):
        if count < cv:
            checks.fail("`cv` must not exceed the examples", cv=cv, examples=count)
        order = np.random.default_rng(seed).permutation(count)
        parts = np.array_split(order, cv)
        return [
            (np.sort(np.concatenate(parts[:k] + parts[k + 1 :])), np.sort(parts[k]))
            for k in range(cv)
        ]
    if hasattr(cv, "split"):
        return list(cv.split(np.arange(count), y))
    return [(np.asarray(train), np.asarray(test)) for train, test in cv]


def check_cv(cv):
    if cv is None or (hasattr(cv, "split") and not isinstance(cv, str)):
        return cv
    if isinstance(cv, int):
        return checks.integer("cv", cv, low=2)
    if not isinstance(cv, list | tuple):
        checks.fail(
            "`cv` must be a number of folds, a splitter of scikit-learn or a list of "
            "(train, test) rows",
            error=TypeError,
            cv=cv,
        )
    return list(cv)


class Best:
    """The best value of the objective in a trial, over folds and executions."""

    def __init__(self):
        self.value = None


class AfterEpoch(keras.callbacks.Callback):
    """Saves the weights of the best epoch and asks the oracle whether to go on.

    Args:
        tuner: The tuner.
        trial: The trial.
        best: `Best` of the trial, shared by its folds.
        first: Whether this is the first fold, whose epochs the pruner sees.
    """

    def __init__(self, tuner, trial, best, first):
        super().__init__()
        self.tuner, self.trial, self.best, self.first = tuner, trial, best, first
        self.objective = tuner.oracle.objective

    def on_epoch_begin(self, epoch, logs=None):
        self.tuner.on_epoch_begin(self.trial, self.model, epoch, logs=logs)

    def on_epoch_end(self, epoch, logs=None):
        logs = {name: float(np.mean(value)) for name, value in (logs or {}).items()}
        self._save(logs)
        if self.first:
            answer = self.tuner.oracle.report(self.trial.trial_id, epoch, logs)
            if answer == "STOPPED":
                self.model.stop_training = True
        self.tuner.on_epoch_end(self.trial, self.model, epoch, logs=logs)

    def _save(self, logs):
        if self.objective.has_value(logs):
            value = self.objective.get_value(logs)
            if self.best.value is not None and not self.objective.better_than(
                value, self.best.value
            ):
                return
            if not math.isfinite(value):
                return
            self.best.value = value
        self.model.save_weights(self.tuner.checkpoint_path(self.trial.trial_id))


def reduced(results, objective):
    """Metrics of a trial and its best epoch, averaged over folds and executions.

    `results` is what `fit` returned: a `History`, a dict, a number, or a list of them.
    """
    if not isinstance(results, list):
        results = [results]
    if not results:
        raise errors.FatalTypeError("The trial returned an empty list of results.")
    pairs = [_one(result, objective) for result in results]
    names = set.intersection(*(set(metrics) for metrics, _ in pairs))
    metrics = {
        name: float(np.mean([metrics[name] for metrics, _ in pairs])) for name in names
    }
    return metrics, int(np.mean([epoch for _, epoch in pairs]))


def _one(result, objective):
    if isinstance(result, keras.callbacks.History):
        return _best_epoch(result.history, objective)
    if isinstance(result, int | float | np.floating) and not isinstance(result, bool):
        return {objective.name: float(result)}, 0
    if isinstance(result, dict):
        return _completed(result, objective), 0
    raise errors.FatalTypeError(
        "A trial must return what `fit` returns, a dict of metrics, a number, or a "
        f"list of these. Received: {result!r}."
    )


def _completed(metrics, objective):
    """`metrics` with the sum that stands for several objectives."""
    metrics = {name: float(value) for name, value in metrics.items()}
    if objective.name not in metrics:
        if not objective.has_value(metrics):
            wanted = [o.name for o in getattr(objective, "objectives", [objective])]
            raise errors.FatalValueError(
                f"The objective {', '.join(wanted)} is not among the metrics of the "
                f"trial. Received: {', '.join(sorted(metrics)) or 'none'}."
            )
        metrics[objective.name] = float(objective.get_value(metrics))
    return metrics


def _best_epoch(history, objective):
    epochs = range(max((len(values) for values in history.values()), default=0))
    rows = [{n: v[k] for n, v in history.items() if k < len(v)} for k in epochs]
    best = None
    for epoch, row in enumerate(rows):
        row = _completed(row, objective)
        value = row[objective.name]
        better = best is None or objective.better_than(value, best[0][objective.name])
        if better or not math.isfinite(best[0][objective.name]):
            best = row, epoch
    if best is None:
        raise errors.FailedTrialError("`fit` trained for no epoch.")
    return best


def remove_checkpoint(path):
    if os.path.exists(path):
        os.remove(path)


def write_build_config(path, model):
    """Keeps the shapes a model was built with, for one that has none of its own."""
    with open(path, "w", encoding="utf-8") as file:
        json.dump(model.get_build_config(), file)


def read_weights(model, config_path, path):
    if not os.path.exists(path):
        raise FileNotFoundError(
            f"There are no weights for this trial: {path}. A trial outside the best "
            "`max_checkpoints` has none, nor has one whose `fit` trained nothing."
        )
    if not model.built:
        with open(config_path, encoding="utf-8") as file:
            model.build_from_config(json.load(file))
    model.load_weights(path)
