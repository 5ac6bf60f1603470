"""The score of a model: the baseline's metric, on predictions.

A strategy may change the loss, the metrics or the penalties of its model. Every
training is therefore judged by what the *baseline* was compiled with, and a loss by
its value without penalties. Weights of test samples count as in `evaluate`: in the loss
and in `weighted_metrics`.
"""

import math
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import (
    compile_function,
    compiled_metrics,
    metric_values,
)

_REPLICATES = 100
_BATCH = 256


class Score(NamedTuple):
    """The score of one training, and what its error on the test set is made of.

    Attributes:
        value: The metric on the test part.
        parts: The metric of each sample, if it is their mean, or of bootstrap
            replicates of the test part, which are the same for every training.
        by_sample: Which of the two.
        is_share: Whether each sample has 0 or 1, as in accuracy.
    """

    value: float
    parts: np.ndarray
    by_sample: bool
    is_share: bool


def predictions(model: keras.Model, x: Any) -> Any:
    """Outputs for the samples; outputs that are not finite are an error."""
    outputs = model.predict(x, batch_size=_BATCH, verbose=0)
    for leaf in keras.tree.flatten(outputs):
        if not np.isfinite(leaf).all():
            raise FloatingPointError("predictions are not finite")
    return outputs


def metric_names(judge: keras.Model, y: Any, outputs: Any) -> list[str]:
    """Names of the metrics that the baseline was compiled with, and `loss`."""
    return ["loss", *(name for name in _results(judge, y, outputs) if name != "loss")]


def check_metric(name: str, judge: keras.Model, y: Any, outputs: Any) -> str:
    """The name without `val_`, if the baseline has such a metric."""
    names = metric_names(judge, y, outputs)
    plain = name.removeprefix("val_")
    if plain not in names:
        checks.fail(
            "`metric` must be a metric that the baseline is compiled with",
            metric=name,
            metrics=names,
        )
    return plain


def score(
    name: str,
    judge: keras.Model,
    y: Any,
    outputs: Any,
    seed: int,
    weight: Any = None,
) -> Score:
    """The metric of a baseline model for outputs; one that is not finite is an error.

    Args:
        name: Name of the metric, or `"loss"`.
        judge: A compiled baseline model, of which only loss and metrics are used.
        y: Targets.
        outputs: Outputs of the trained model.
        seed: Seed of the bootstrap.
        weight: Weights of the samples, or `None`.
    """
    value = _value(name, judge, y, outputs, weight)
    if not math.isfinite(value):
        raise FloatingPointError(f"{name} is {value} on the test part")
    parts = _by_sample(name, judge, y, outputs, weight)
    # Whether a metric is the mean over samples is seen by the numbers: names do not say
    # it, and metrics of the user's have none that is known.
    if parts is not None and np.isclose(parts.mean(), value, rtol=1e-4, atol=1e-6):
        is_share = bool(np.isin(parts, (0, 1)).all())
        # The mean in double precision, so that equal samples give equal scores.
        return Score(float(parts.mean(dtype="float64")), parts, True, is_share)
    parts = _replicates(name, judge, y, outputs, seed, weight)
    return Score(value, parts, False, False)


def _value(name, judge, y, outputs, weight):
    if name != "loss":
        return _number(_results(judge, y, outputs, weight)[name])
    loss = judge.compute_loss(
        None, _tensors(y), _tensors(outputs), _tensors(weight), training=False
    )
    return _number(loss) - sum(_number(item) for item in judge.losses)


def _number(scalar):
    return float(keras.ops.convert_to_numpy(scalar))


def _results(judge, y, outputs, weight=None):
    """All metrics of `compile` for outputs."""
    judge.reset_metrics()
    return judge.compute_metrics(None, _tensors(y), _tensors(outputs), _tensors(weight))


def _tensors(nest):
    if nest is None:
        return None
    return keras.tree.map_structure(keras.ops.convert_to_tensor, nest)


def _by_sample(name, judge, y, outputs, weight):
    """The metric of each sample, or `None` if it is no mean of such."""
    if not hasattr(outputs, "shape") or not hasattr(y, "shape"):
        return None  # several outputs
    if name == "loss":
        loss = keras.losses.get(judge.loss) if judge.loss is not None else None
        if not isinstance(loss, keras.losses.Loss):
            if not callable(loss):
                return None
            values = loss(_tensors(y), _tensors(outputs))
        else:
            values = loss.call(_tensors(y), _tensors(outputs))
    else:
        metrics = [item for item in compiled_metrics(judge) if item.name == name]
        if len(metrics) != 1:
            return None
        values = metric_values(metrics[0], _tensors(y), _tensors(outputs))
    if values is None:
        return None
    values = np.asarray(keras.ops.convert_to_numpy(values), "float64")
    if not values.ndim or len(values) != len(y):
        return None
    values = values.reshape(len(values), -1).mean(axis=1)
    if name == "loss" and weight is not None:
        # A sum over the samples by their number, whatever the weights.
        return values * weight.reshape(len(weight), -1).mean(axis=1)
    return values


def _replicates(name, judge, y, outputs, seed, weight):
    """The metric of samples drawn with replacement, again and again."""
    rng = np.random.default_rng([seed, 1])
    count = len(keras.tree.flatten(outputs)[0])
    evaluate = _compiled(name, judge, y, outputs, weight)
    nests = (y, outputs) if weight is None else (y, outputs, weight)
    values = []
    for _ in range(_REPLICATES):
        rows = rng.integers(count, size=count)
        drawn = [
            keras.tree.map_structure(lambda leaf, rows=rows: leaf[rows], nest)
            for nest in nests
        ]
        values.append(evaluate(*drawn))
    return np.array(values)


def _compiled(name, judge, y, outputs, weight):
    """A function from targets, outputs and perhaps weights to the metric.

    It is compiled if the metric is one object: metrics such as AUC take a tenth of a
    second outside a compiled function.
    """
    found = [metric for metric in compiled_metrics(judge) if metric.name == name]
    is_single = hasattr(outputs, "shape") and hasattr(y, "shape")
    if len(found) != 1 or not is_single or weight is not None:
        return lambda y, outputs, weight=None: _value(name, judge, y, outputs, weight)
    metric = found[0]
    metric.reset_state()
    start = [keras.ops.convert_to_tensor(v.value) for v in metric.variables]

    def function(state, targets, predicted):
        state = metric.stateless_update_state(state, targets, predicted)
        return metric.stateless_result(state)

    step = compile_function(function)
    return lambda y, outputs: _number(step(start, _tensors(y), _tensors(outputs)))
