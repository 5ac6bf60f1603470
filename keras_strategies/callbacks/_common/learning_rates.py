"""Learning rates of a model's optimizers: reading, logging and scaling them."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import raw_learning_rate
from keras_strategies._internal.traversal import base_optimizers, optimizer_paths
from keras_strategies.callbacks._common.optimizers import ActedOn
from keras_strategies.schedules import ScaledSchedule


class ScalableLearningRate:
    """The learning rate of one optimizer: a variable, or the scale of a schedule."""

    def __init__(
        self,
        optimizer: keras.optimizers.Optimizer,
        schedule: ScaledSchedule | None = None,
    ):
        self.optimizer, self._schedule = optimizer, schedule
        self._variable = schedule.scale if schedule else raw_learning_rate(optimizer)

    @property
    def learning_rate(self) -> float:
        """Current learning rate."""
        return read_learning_rate(self.optimizer.learning_rate)

    @property
    def value(self) -> float:
        """What `set` assigns: the learning rate, or the scale of the schedule."""
        return read_learning_rate(self._variable)

    def set(self, value: float) -> None:
        """Assigns the learning rate, or the scale of the schedule."""
        if self._schedule is None:
            self._variable.assign(value)
        else:
            self._schedule.set_scale(value)

    def reduce(self, factor: float, lowest: float = 0.0) -> float:
        """Multiplies the rate, not below `lowest`; returns the new rate."""
        rate = self.learning_rate
        new_rate = max(rate * factor, lowest)
        if self._schedule is None:
            self.set(new_rate)
        # A schedule is scaled by the ratio of the rates; at a rate of 0 there is none.
        elif rate > 0:
            self.set(self.value * (new_rate / rate))
        return new_rate


def scalable_learning_rates(
    model: keras.Model, acted: ActedOn
) -> list[ScalableLearningRate]:
    """Returns a `ScalableLearningRate` for each optimizer that a callback acts on.

    Refuses a schedule that cannot be scaled.
    """
    rates = []
    for optimizer in acted.updating(model):
        raw = raw_learning_rate(optimizer)
        if isinstance(raw, keras.Variable):
            rates.append(ScalableLearningRate(optimizer))
            continue
        schedule = _scaled_schedule(raw)
        if schedule is None:
            checks.fail(
                "This optimizer was created with a `LearningRateSchedule` object or a "
                f"function as its learning rate, which {acted.owner} cannot reduce",
                fix="Compile the model with a float learning rate, or with "
                "schedules.ScaledSchedule(schedule).",
                error=TypeError,
                learning_rate=raw,
                optimizer=optimizer.name,
            )
        schedule.attach(_root_of(acted.roots(model), optimizer))
        rates.append(ScalableLearningRate(optimizer, schedule))
    return rates


def _root_of(roots, optimizer):
    """The one of `roots` that has `optimizer` in it."""
    paths = [path for root in roots for path in optimizer_paths(root)]
    return next(path[-1] for path in paths if path[0] is optimizer)


def learning_rate_variables(model: keras.Model, acted: ActedOn) -> list[keras.Variable]:
    """Returns the learning-rate variable of each optimizer; refuses schedules."""
    variables = []
    for optimizer in acted.updating(model):
        raw = raw_learning_rate(optimizer)
        if not isinstance(raw, keras.Variable):
            checks.fail(
                f"{acted.owner} needs an optimizer whose learning rate is a number. "
                "This optimizer was created with a `LearningRateSchedule`",
                fix="Compile the model with a float learning rate, or leave the "
                "callback out and let the schedule set the rate.",
                error=TypeError,
                learning_rate=raw,
                optimizer=optimizer.name,
            )
        variables.append(raw)
    return variables


def compiled_rates(
    model: keras.Model, acted: ActedOn
) -> list[tuple[keras.Variable, float]]:
    """Returns `(variable, value)` of each rate that can be read before training begins.

    `CallbackList` hands the model to all callbacks before the first of them begins, so
    that no other, such as `BackupAndRestore`, has put a decayed rate there yet.
    """
    if acted.is_model_optimizer and getattr(model, "optimizer", None) is None:
        return []
    raw = [raw_learning_rate(optimizer) for optimizer in acted.existing(model)]
    return [(v, read_learning_rate(v)) for v in raw if isinstance(v, keras.Variable)]


def rates_before_training(
    noted: list[tuple[keras.Variable, float]],
    variables: Sequence[keras.Variable],
    current: Sequence[float],
) -> list[float]:
    """Returns the rates before anything of a fit, such as a restored backup, set them.

    Args:
        noted: What `compiled_rates` returned before training began.
        variables: Variables of the rates.
        current: Their values now, which count where nothing was noted: a
            `MultiOptimizer` may be built only now.
    """
    rates = {id(variable): rate for variable, rate in noted}
    pairs = zip(variables, current, strict=True)
    return [rates.get(id(variable), rate) for variable, rate in pairs]


def learning_rate_logs(model: keras.Model, acted: ActedOn) -> dict[str, float]:
    """Returns the learning rates under the names that Keras uses in the logs."""
    roots = acted.roots(model)
    optimizers = [leaf for root in roots for leaf in base_optimizers(root)]
    if len(optimizers) == 1 and acted.is_model_optimizer:
        return {"learning_rate": read_learning_rate(optimizers[0].learning_rate)}
    return {
        f"learning_rate_{optimizer.name}": read_learning_rate(optimizer.learning_rate)
        for optimizer in optimizers
    }


def read_learning_rate(value: Any) -> float:
    """Returns the number in the variable or tensor of a learning rate."""
    return float(keras.ops.convert_to_numpy(value))


def _scaled_schedule(schedule):
    """The outermost ScaledSchedule in a schedule of schedules, or `None`."""
    if isinstance(schedule, ScaledSchedule):
        return schedule
    children = [
        getattr(schedule, "schedule", None),
        *getattr(schedule, "schedules", ()),
    ]
    nested = (_scaled_schedule(child) for child in children if callable(child))
    return next((item for item in nested if item is not None), None)
