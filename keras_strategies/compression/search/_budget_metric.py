"""Metric that the budget of a search is about."""

from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.metrics import metric_direction
from keras_strategies.compression.search._samples import Samples
from keras_strategies.export.artifact._scoring import Scorer


class BudgetMetric:
    """A metric, its direction, and how much worse one value of it is than another.

    Args:
        model: The compiled float model.
        metric: A Keras metric, its name or function; `None` for the model's own.
        mode: `"auto"`, `"min"` or `"max"`.
    """

    def __init__(self, model: keras.Model, metric: Any, mode: str) -> None:
        self._metric = own_metric(model) if metric is None else metric
        self.name = _name(self._metric)
        checks.choice("mode", mode, ("auto", "min", "max"))
        self.mode = metric_direction(self._metric) if mode == "auto" else mode

    def score(self, samples: Samples, outputs: np.ndarray) -> float:
        """The metric of `outputs` on the targets of `samples`."""
        # A loss is the fallback of a model that is compiled without metrics.
        if isinstance(self._metric, keras.losses.Loss):
            loss = self._metric(samples.y, outputs, sample_weight=samples.weight)
            value = float(keras.ops.convert_to_numpy(loss))
        else:
            scorer = Scorer(self._metric, ["output"])
            scorer.update({"output": samples.y}, {"output": outputs}, samples.weight)
            [value] = scorer.result().values()
        if np.ndim(value):
            rule = "The metric must be one number"
            checks.fail(rule, metric=self.name, shape=np.shape(value))
        return value

    def drop(self, value: float, reference: float) -> float:
        """By how many points `value` is worse than `reference`; NaN counts as inf.

        Percentage points of a metric to maximize (1 is 0.01), per cent of `reference`
        for a metric to minimize.
        """
        if self.mode == "max":
            points = 100 * (reference - value)
        else:
            # Relative: a loss has no natural scale.
            points = 100 * (value - reference) / max(abs(reference), 1e-12)
        return float("inf") if np.isnan(points) else float(points)


def own_metric(model: keras.Model) -> Any:
    """The first metric a model is compiled with, or else its loss."""
    metric = _first(model.get_compile_config().get("metrics"))
    if metric is None:
        loss = keras.losses.get(model.loss)
        return loss if isinstance(loss, keras.losses.Loss) else model.loss
    if isinstance(metric, str):
        return metric
    try:
        return keras.metrics.deserialize(metric)
    except (TypeError, ValueError) as error:
        rule = "The model's first metric must be one that Keras can copy"
        fix = "Give it as `metric`."
        raise ValueError(checks.message(rule, {"metric": metric}, fix)) from error


def _first(metrics):
    """The first entry of compiled metrics, lists and dicts by output included."""
    if not metrics or isinstance(metrics, str):
        return metrics or None
    if isinstance(metrics, dict) and "class_name" in metrics:
        return metrics
    values = metrics.values() if isinstance(metrics, dict) else metrics
    return next((item for item in map(_first, values) if item is not None), None)


def _name(metric):
    if isinstance(metric, str):
        return metric
    return getattr(metric, "name", None) or getattr(metric, "__name__", "metric")
