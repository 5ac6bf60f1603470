"""How much a model loses when a column is shuffled."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.optional import require
from keras_strategies._internal.reports import Column, Report
from keras_strategies.explain._engine.checked_inputs import check_inputs
from keras_strategies.explain._engine.final_activation import final_activations


@dataclasses.dataclass
class PermutationReport(Report):
    """What `permutation_importance` found, the most important column first.

    Attributes:
        rows: A dict a column: `column`, `importance` (the fall of the score, mean over
            the repeats), `deviation` (standard deviation over the repeats) and
            `index`.
        score: The score of the data as they are.
        metric: Name of the score.
    """

    rows: Sequence[dict[str, Any]]
    score: float
    metric: str

    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("column", left=True),
        Column("importance", form=".4g"),
        Column("deviation", form=".2g"),
    )
    CHART: ClassVar[tuple[str, str] | None] = ("column", "importance")

    @property
    def importances(self) -> np.ndarray:
        """The importances in the order of the columns."""
        ordered = sorted(self.rows, key=lambda row: row["index"])
        return np.array([row["importance"] for row in ordered])

    def _summary(self) -> dict[str, Any]:
        return {"metric": self.metric, "score": self.score}

    def _footer(self) -> list[str]:
        return [f"{self.metric} of the data as they are: {self.score:.4g}"]


def permutation_importance(
    model: keras.Model,
    x: Any,
    y: Any,
    *,
    metric: str | Callable[[Any, Any], float] = "auto",
    repeats: int = 5,
    column_names: Sequence[str] | None = None,
    seed: int = 0,
    batch_size: int = 256,
) -> PermutationReport:
    """How much each column of a table matters to a model on the whole: a report.

    Each column is shuffled between the samples, and the score that is lost is its
    importance. Give data that the model was not trained on. Two columns that say the
    same hide each other: either can be shuffled without loss.

    Works by scikit-learn's `permutation_importance`, in the extra `explain`.

    Source: Breiman (2001), "Random Forests",
    https://doi.org/10.1023/A:1010933404324, section 10.

    Args:
        model: A built Keras model with one table as input and one output.
        x: Samples, `(samples, columns)`.
        y: Their targets, as for `fit`.
        metric: `"accuracy"`, `"r2"`, `"auto"` (accuracy where the targets are
            integers or one-hot rows, else R2) or a function of targets and predictions
            that is higher for better ones. Defaults to `"auto"`.
        repeats: Shuffles of each column, at least 1. Defaults to `5`.
        column_names: Names of the columns. Defaults to `None`, `x[0]`, `x[1]`, ...
        seed: Seed of the shuffles. Defaults to `0`.
        batch_size: As for `predict`. Defaults to `256`.

    Returns:
        A `PermutationReport`.

    Raises:
        ImportError: If scikit-learn is not installed.
        TypeError: If an argument is of the wrong type.
        ValueError: If the data are no table or do not fit the model or each other.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import explain

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.set_weights([np.array([[2.0], [0.0], [1.0]]), np.zeros(1)])
    x = np.random.default_rng(0).normal(size=(100, 3))
    y = x @ [2, 0, 1]
    print(explain.permutation_importance(model, x, y))  # x[0], x[2], x[1]
    ```
    """
    table, targets = _checked_data(model, x, y)
    checks.integer("repeats", repeats, low=1)
    checks.integer("seed", seed, low=0)
    checks.integer("batch_size", batch_size, low=1)
    names = _names(column_names, table.shape[1])
    name, score = _metric(metric, targets, model, table)

    def scorer(estimator: Any, rows: Any, wanted: Any) -> float:
        rows = np.asarray(rows, "float32")
        predictions = model.predict(rows, batch_size=batch_size, verbose=0)
        return float(score(wanted, predictions))

    inspection = require("sklearn.inspection", "`explain.permutation_importance`")
    found = inspection.permutation_importance(
        _Fitted(), table, targets, scoring=scorer, n_repeats=repeats, random_state=seed
    )
    order = np.argsort(-found.importances_mean, kind="stable")
    rows = [
        {
            "column": names[index],
            "importance": float(found.importances_mean[index]),
            "deviation": float(found.importances_std[index]),
            "index": int(index),
        }
        for index in order
    ]
    return PermutationReport(rows, scorer(None, table, targets), name)


class _Fitted:
    """What scikit-learn takes for an estimator; the scorer does all."""

    def fit(self, x: Any, y: Any = None) -> "_Fitted":
        return self


def _checked_data(model, x, y):
    inputs = check_inputs(model, x, "x")
    table, targets = inputs.flat[0], np.asarray(y)
    if len(inputs.flat) != 1 or table.ndim != 2:
        checks.fail(
            "permutation_importance needs one table as input",
            fix="Give (samples, columns).",
            shapes=[array.shape for array in inputs.flat],
        )
    if targets.ndim not in (1, 2) or len(targets) != len(table):
        checks.fail(
            "`y` must have a target for each sample",
            x=table.shape,
            y=targets.shape,
        )
    return table, targets


def _names(names, count):
    if names is None:
        return [f"x[{index}]" for index in range(count)]
    names = [str(name) for name in names]
    if len(names) != count:
        rule = "`column_names` must have a name for each column"
        checks.fail(rule, names=len(names), columns=count)
    return names


def _metric(metric, targets, model, table):
    if callable(metric):
        return getattr(metric, "__name__", type(metric).__name__), metric
    checks.choice("metric", metric, ("auto", "accuracy", "r2"))
    several = targets.ndim == 2 and targets.shape[1] > 1
    are_classes = _are_one_hot(targets) if several else targets.dtype.kind in "iub"
    if metric == "auto":
        if several and targets.dtype.kind in "iub" and not are_classes:
            checks.fail(
                "`metric` must be given for several labels a sample",
                fix="Give a function of targets and predictions, or 'r2'.",
                metric=metric,
            )
        metric = "accuracy" if are_classes else "r2"
    elif metric == "accuracy" and several and not are_classes:
        checks.fail(
            "Accuracy needs classes: integers or one-hot rows", targets=targets.shape
        )
    if metric == "r2":
        return metric, _r2
    [end] = final_activations(model, table[:1])
    # A probability is on its class's side above 0.5, a logit above 0.
    threshold = 0.5 if end is not None and end.kind == "sigmoid" else 0.0
    return metric, functools.partial(_accuracy, threshold)


def _are_one_hot(targets):
    return bool(np.isin(targets, (0, 1)).all() and (targets.sum(axis=1) == 1).all())


def _accuracy(threshold, targets, predictions):
    targets = np.asarray(targets)
    if targets.ndim == 2 and targets.shape[1] > 1:
        targets = targets.argmax(axis=1)
    predictions = np.asarray(predictions).reshape(len(predictions), -1)
    if predictions.shape[1] == 1:  # one output for two classes
        labels = predictions[:, 0] > threshold
    else:
        labels = predictions.argmax(axis=1)
    return float((labels == targets.ravel()).mean())


def _r2(targets, predictions):
    targets = np.asarray(targets, "float64").reshape(len(targets), -1)
    predictions = np.asarray(predictions, "float64").reshape(targets.shape)
    variance = ((targets - targets.mean(axis=0)) ** 2).sum()
    if variance == 0:
        checks.fail("R2 needs targets that differ", metric="r2")
    return float(1 - ((targets - predictions) ** 2).sum() / variance)
