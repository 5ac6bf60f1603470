"""Keras metrics over outputs that come batch by batch."""

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

    def __init__(self, metrics, names):
        if isinstance(metrics, dict) and not set(metrics) <= set(names):
            rule = f"`metrics` must have output names as keys, of {list(names)}"
            checks.fail(rule, keys=sorted(map(str, metrics)))
        self._several = len(names) > 1
        self._wanted = {}
        for name in names:
            chosen = metrics.get(name, ()) if isinstance(metrics, dict) else metrics
            self._wanted[name] = list(_listed(chosen))
        self._wanted = {key: wanted for key, wanted in self._wanted.items() if wanted}
        if not self._wanted:
            checks.fail("`metrics` must name at least one metric", metrics=metrics)
        objects = [one for wanted in self._wanted.values() for one in wanted]
        objects = [one for one in objects if isinstance(one, keras.metrics.Metric)]
        if len({id(one) for one in objects}) < len(objects):
            fix = "Give a dict by output name with a metric object for each."
            rule = "`metrics` must have no object twice or for several outputs"
            checks.fail(rule, fix=fix, outputs=list(names))
        self._metrics = None

    @property
    def names(self):
        """The outputs that targets are needed for."""
        return list(self._wanted)

    def update(self, targets, outputs, weights):
        """Takes one batch; `targets` and `outputs` are dicts by output name."""
        if self._metrics is None:
            self._metrics = {
                name: [_metric(one, targets[name], outputs[name]) for one in wanted]
                for name, wanted in self._wanted.items()
            }
        for name, metrics in self._metrics.items():
            for metric in metrics:
                metric.update_state(targets[name], outputs[name], sample_weight=weights)

    def result(self):
        """Returns `{metric name: float}`, with the output's name if several."""
        found = {}
        for name, metrics in self._metrics.items():
            for metric in metrics:
                key = f"{name}_{metric.name}" if self._several else metric.name
                value = keras.ops.convert_to_numpy(metric.result())
                found[key] = value if np.ndim(value) else float(value)
        return found


def _listed(metrics):
    return metrics if isinstance(metrics, list | tuple) else (metrics,)


def _metric(wanted, target, output):
    """Returns a metric without state; a given object is reset, as Keras does."""
    if isinstance(wanted, keras.metrics.Metric):
        wanted.reset_state()
        return wanted
    if isinstance(wanted, str) and wanted.lower() in ("accuracy", "acc"):
        return _accuracy(target, output)(name=wanted)
    try:
        found = keras.metrics.get(wanted)
    except ValueError as error:
        fix = "Use the name of a Keras metric, such as 'accuracy' or 'mse'."
        rule = "`metrics` must hold Keras metrics or their names"
        raise ValueError(checks.message(rule, {"metrics": wanted}, fix)) from error
    if isinstance(found, keras.metrics.Metric):
        if isinstance(wanted, str):
            found.name = wanted
        return found
    name = wanted if isinstance(wanted, str) else getattr(found, "__name__", "metric")
    return keras.metrics.MeanMetricWrapper(found, name=name)


def _accuracy(target, output):
    """The rule of `Model.compile`: by the last axis and the number of axes."""
    if output.shape[-1] == 1:
        return keras.metrics.BinaryAccuracy
    if target.ndim < output.ndim or target.shape[-1] == 1:
        return keras.metrics.SparseCategoricalAccuracy
    return keras.metrics.CategoricalAccuracy
