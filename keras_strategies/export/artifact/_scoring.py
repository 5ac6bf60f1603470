"""Keras metrics over outputs that arrive batch by batch."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks


class Scorer:
    """Metrics of one or several outputs, resolved as `Model.compile` does.

    Args:
        metrics: A metric, a list of them, or for several outputs a dict by output
            name; a list then counts for each output.
        names: Output names.
    """

    def __init__(self, metrics: Any, names: Sequence[str]) -> None:
        if isinstance(metrics, dict) and not set(metrics) <= set(names):
            rule = f"`metrics` must have output names as keys, of {list(names)}"
            checks.fail(rule, keys=sorted(map(str, metrics)))
        self._prefixed = len(names) > 1
        requested = {
            name: _as_list(
                metrics.get(name, ()) if isinstance(metrics, dict) else metrics
            )
            for name in names
        }
        self._requested = {key: value for key, value in requested.items() if value}
        if not self._requested:
            checks.fail("`metrics` must name at least one metric", metrics=metrics)
        _check_shared_objects(self._requested, names)
        self._metrics: dict[str, list[keras.metrics.Metric]] | None = None

    @property
    def names(self) -> list[str]:
        """The outputs that targets are needed for."""
        return list(self._requested)

    def update(
        self,
        targets: Mapping[str, np.ndarray],
        outputs: Mapping[str, np.ndarray],
        weights: np.ndarray | None,
    ) -> None:
        """Adds one batch; `targets` and `outputs` are dicts by output name."""
        if self._metrics is None:
            # "accuracy" is resolved by shapes, which the first batch shows.
            self._metrics = {
                name: [resolve(x, targets[name], outputs[name]) for x in metrics]
                for name, metrics in self._requested.items()
            }
        for name, metrics in self._metrics.items():
            for metric in metrics:
                metric.update_state(targets[name], outputs[name], sample_weight=weights)

    def result(self) -> dict[str, Any]:
        """Returns `{metric name: float}`, with the output's name if several."""
        scores = {}
        for name, metrics in (self._metrics or {}).items():
            for metric in metrics:
                key = f"{name}_{metric.name}" if self._prefixed else metric.name
                value = keras.ops.convert_to_numpy(metric.result())
                scores[key] = value if np.ndim(value) else float(value)
        return scores


def _as_list(metrics):
    return list(metrics) if isinstance(metrics, list | tuple) else [metrics]


def _check_shared_objects(requested, names):
    """A metric object holds state, which two outputs would mix."""
    objects = [
        metric
        for metrics in requested.values()
        for metric in metrics
        if isinstance(metric, keras.metrics.Metric)
    ]
    if len({id(metric) for metric in objects}) < len(objects):
        fix = "Give a dict by output name with a metric object for each."
        rule = "`metrics` must have no object twice or for several outputs"
        checks.fail(rule, fix=fix, outputs=list(names))


def resolve(metric: Any, target: Any, output: Any) -> keras.metrics.Metric:
    """Returns a metric without state; a given object is reset, as Keras does."""
    if isinstance(metric, keras.metrics.Metric):
        metric.reset_state()
        return metric
    if isinstance(metric, str) and metric.lower() in ("accuracy", "acc"):
        return _accuracy_class(target, output)(name=metric)
    try:
        resolved = keras.metrics.get(metric)
    except ValueError as error:
        fix = "Use the name of a Keras metric, such as 'accuracy' or 'mse'."
        rule = "`metrics` must hold Keras metrics or their names"
        raise ValueError(checks.message(rule, {"metrics": metric}, fix)) from error
    if isinstance(resolved, keras.metrics.Metric):
        if isinstance(metric, str):
            resolved.name = metric
        return resolved
    name = metric if isinstance(metric, str) else None
    name = name or getattr(resolved, "__name__", "metric")
    return keras.metrics.MeanMetricWrapper(resolved, name=name)


def _accuracy_class(target, output):
    """The rule of `Model.compile`: by the last axis and the number of axes."""
    if output.shape[-1] == 1:
        return keras.metrics.BinaryAccuracy
    if target.ndim < output.ndim or target.shape[-1] == 1:
        return keras.metrics.SparseCategoricalAccuracy
    return keras.metrics.CategoricalAccuracy
