"""What trains in a model, at which rate, in which mode."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks, freezing
from keras_strategies._internal.keras_private import (
    is_built_for,
    own_variables_of_layer,
    raw_learning_rate,
    updated_variables,
)
from keras_strategies._internal.reports import Column, Report
from keras_strategies._internal.select import Target, layer_targets
from keras_strategies._internal.traversal import base_optimizers, optimizer_paths
from keras_strategies.training._fine_tune.plan import NORMALIZATIONS


class TrainableReport(Report):
    """The result of `trainable_report`: a row a layer with weights or with a mode.

    Attributes:
        rows: One dict a layer: `layer` (its path), `type`, `weights` and `trainable`
            (numbers), `learning_rate` (that of its optimizer, of a schedule the
            peak, times the multipliers of `optimizers.GradientTransform`; `None` if
            the model is not compiled or the layer does not train), and `mode`: how a
            training step calls it, `"training"` or `"inference"`, or `None` where that
            makes no difference.
        warnings: What is likely a mistake, such as flags that a compiled model does not
            know of.
    """

    COLUMNS = (
        Column("layer", left=True),
        Column("type", left=True),
        Column("weights", form=","),
        Column("trainable", form=","),
        Column("learning_rate", form=".2e"),
        Column("mode", left=True),
    )
    CHART = ("layer", "trainable")

    def __init__(self, rows: Sequence[Mapping[str, Any]], warnings: Sequence[str] = ()):
        self.rows, self.warnings = list(rows), list(warnings)

    @property
    def weights(self) -> int:
        """Number of weights of the model."""
        return sum(row["weights"] for row in self.rows)

    @property
    def trainable(self) -> int:
        """Number of weights that train."""
        return sum(row["trainable"] for row in self.rows)

    def _footer(self):
        part = self.trainable / max(self.weights, 1)
        total = f"{self.trainable:,} of {self.weights:,} weights train ({part:.1%})."
        return [total, *(f"Warning: {text}." for text in self.warnings)]

    def _summary(self):
        return {
            "weights": self.weights,
            "trainable": self.trainable,
            "warnings": self.warnings,
        }


def trainable_report(model: keras.Model) -> TrainableReport:
    """Shows what trains in a model, at which rate and in which mode.

    `model.summary()` shows flags; this also shows what an optimizer does with them and
    how a training step calls BatchNormalization and Dropout, and it warns where the
    flags were changed after `compile`, so that the next `fit` goes on as before.

    Args:
        model: A built model, compiled or not.

    Returns:
        A `TrainableReport`.

    Raises:
        TypeError: If `model` is no Keras model.

    Example:

    ```python
    import keras
    from keras_strategies import training

    model = keras.Sequential([
        keras.Input((4,)),
        keras.layers.Dense(8, name="body"),
        keras.layers.BatchNormalization(name="norm"),
        keras.layers.Dense(1, name="head"),
    ])
    model.compile(keras.optimizers.Adam(1e-3), loss="mse")
    training.freeze(model, ["^body", "^norm"])
    print(training.trainable_report(model))
    ```
    """
    checks.instance("model", model, keras.Model, fix="Give a Keras model.")
    rates = _rates(model)
    masked = _masked(model)
    trained = {id(variable) for variable in model.trainable_variables} - masked
    rows = []
    for target in [Target("", model, model), *layer_targets(model)]:
        row = _row(target, trained, rates)
        if row["weights"] or row["mode"]:
            rows.append(row)
    return TrainableReport(rows, _warnings(model, masked))


def _row(target, trained, rates):
    layer = target.item
    trainable, others = own_variables_of_layer(layer)
    seeds = {id(v) for v in layer.variables} - {id(v) for v in layer.weights}
    weights = [v for v in [*trainable, *others] if id(v) not in seeds]
    moving = [v for v in weights if id(v) in trained]
    known = [rates[id(v)] for v in moving if id(v) in rates]
    return {
        "layer": target.path or layer.name,
        "type": type(layer).__name__,
        "weights": number_of_weights(weights),
        "trainable": number_of_weights(moving),
        "learning_rate": max(known) if known else None,
        "mode": _mode(layer, bool(seeds & {id(v) for v in others})),
    }


def _mode(layer, draws):
    is_norm = isinstance(layer, NORMALIZATIONS)
    if not is_norm and not draws:
        return None
    still = freezing.is_frozen(layer) or (is_norm and not layer.trainable)
    return "inference" if still else "training"


def _optimizer(model):
    """The optimizer of a compiled model; `None` without one."""
    return model.optimizer if getattr(model, "compiled", False) else None


def _rates(model):
    """The learning rate of each variable, by `id`."""
    optimizer = _optimizer(model)
    if optimizer is None:
        return {}
    rates = {}
    several = len(base_optimizers(optimizer)) > 1
    for path in optimizer_paths(optimizer):
        leaf = path[0]
        rate = _current_rate(leaf)
        own = updated_variables(leaf) if leaf.built else []
        if not leaf.built and not several:
            own = model.trainable_variables
        for variable in own:
            rates[id(variable)] = rate * _multiplier(path, variable)
    return rates


def _masked(model):
    """The weights that an `optimizers.Freeze` holds, by `id`."""
    optimizer = _optimizer(model)
    if optimizer is None:
        return set()
    wrappers = {id(item): item for path in optimizer_paths(optimizer) for item in path}
    found = set()
    for wrapper in wrappers.values():
        if wrapper.built and getattr(wrapper, "_frozen", None) is not None:
            paths = set(wrapper.frozen())
            found |= {id(v) for v in updated_variables(wrapper) if v.path in paths}
    return found


def _current_rate(optimizer):
    rate = raw_learning_rate(optimizer)
    if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        return _peak(rate)
    return float(keras.ops.convert_to_numpy(optimizer.learning_rate))


def _peak(schedule):
    """The largest rate of a schedule in its first steps: a warm-up starts at 0."""
    steps = np.unique(np.geomspace(1, 1e5, 60).astype(int))
    values = [float(schedule(int(step))) for step in [0, *steps]]
    return max(values)


def _multiplier(path, variable):
    product = 1.0
    for optimizer in path:
        multipliers = getattr(optimizer, "multipliers", None)
        if multipliers is None or not optimizer.built:
            continue
        if getattr(optimizer, "_multipliers", None) is not None:
            product *= multipliers().get(variable.path, 1.0)
    return product


def _collecting(model, masked):
    """The paths of normalizations that go on collecting statistics behind a mask."""
    return [
        target.path
        for target in layer_targets(model)
        if isinstance(target.item, NORMALIZATIONS)
        and target.item.trainable
        and not freezing.is_frozen(target.item)
        and any(id(v) in masked for v in own_variables_of_layer(target.item)[0])
    ]


def _warnings(model, masked):
    found = []
    if not model.built:
        found.append("the model is not built: layers without weights are missing")
    optimizer = _optimizer(model)
    if optimizer is not None and not is_built_for(optimizer, model.trainable_variables):
        found.append(
            "`trainable` was changed after `compile`, and training goes on as before: "
            "compile again, or use training.freeze and unfreeze"
        )
    collecting = _collecting(model, masked)
    if collecting:
        found.append(
            "optimizers.Freeze holds weights, and these layers go on collecting "
            f"statistics: {', '.join(collecting)}; training.freeze or "
            "callbacks.GradualUnfreezing holds all of a layer"
        )
    if all(id(variable) in masked for variable in model.trainable_variables):
        found.append("nothing trains")
    return found


def number_of_weights(variables: Iterable[keras.Variable]) -> int:
    """Returns how many numbers are in these variables together."""
    return sum(math.prod(variable.shape) for variable in variables)
