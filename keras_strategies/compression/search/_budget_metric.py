"""Metric that the budget of a search is about."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks, keras_private
from keras_strategies._internal.metrics import metric_direction
from keras_strategies.compression.search import _budget_decision
from keras_strategies.compression.search._samples import Samples
from keras_strategies.export.artifact._scoring import Scorer, resolve


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

    def per_sample(self, samples: Samples, outputs: np.ndarray) -> np.ndarray | None:
        """The metric of each sample, or `None` if it is no mean of samples."""
        function = mean_function(self._metric, samples.y, outputs)
        if function is None:
            return None
        pair = (keras.ops.convert_to_tensor(value) for value in (samples.y, outputs))
        values = keras.ops.convert_to_numpy(function(*pair))
        values = np.asarray(values, "float64")
        if values.shape[:1] != (len(samples),):
            return None
        return values.reshape(len(samples), -1).mean(axis=1)

    def decision(
        self,
        samples: Samples,
        before: np.ndarray,
        after: np.ndarray,
        budget: float,
        confidence: float,
    ) -> _budget_decision.BudgetDecision:
        """Whether outputs `after` keep to the budget, against those `before`."""

        def drop_on(rows):
            part = samples.take(rows)
            values = (self.score(part, outputs[rows]) for outputs in (after, before))
            return self.drop(*values)

        weight = samples.weight
        return _budget_decision.decide(
            drop_on(np.arange(len(samples))),
            self.per_sample(samples, before),
            self.per_sample(samples, after),
            None if weight is None else np.asarray(weight, "float64").reshape(-1),
            mode=self.mode,
            budget=budget,
            confidence=confidence,
            resampled=drop_on,
            samples=len(samples),
        )

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


def mean_function(metric: Any, target: Any, outputs: Any) -> Callable[..., Any] | None:
    """The function of targets and outputs whose mean a metric or loss is, or `None`."""
    if isinstance(metric, keras.losses.Loss):
        return metric.call
    resolved = resolve(metric, np.asarray(target), np.asarray(outputs))
    return keras_private.mean_metric_function(resolved)


def own_metric(model: keras.Model) -> Any:
    """The first metric a model is compiled with, or else its loss."""
    metric = _first(model.get_compile_config().get("metrics"))
    if metric is None:
        # The loss of the one output may be in a list or dict.
        [given] = keras.tree.flatten(model.loss)
        loss = keras.losses.get(given)
        return loss if isinstance(loss, keras.losses.Loss) else given
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
