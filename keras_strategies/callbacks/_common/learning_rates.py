"""Learning rates of a model's optimizers: reading, logging and scaling them."""

from typing import Any

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import raw_learning_rate
from keras_strategies._internal.traversal import base_optimizers
from keras_strategies.callbacks._common.optimizers import updating_optimizers
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
    model: keras.Model, callback: keras.callbacks.Callback
) -> list[ScalableLearningRate]:
    """Returns a `ScalableLearningRate` for each optimizer of a model.

    Refuses a schedule that cannot be scaled.
    """
    owner = type(callback).__name__
    rates = []
    for optimizer in updating_optimizers(model, owner):
        raw = raw_learning_rate(optimizer)
        if isinstance(raw, keras.Variable):
            rates.append(ScalableLearningRate(optimizer))
            continue
        schedule = _scaled_schedule(raw)
        if schedule is None:
            checks.fail(
                "This optimizer was created with a `LearningRateSchedule` object or a "
                f"function as its learning rate, which {owner} cannot reduce",
                fix="Compile the model with a float learning rate, or with "
                "schedules.ScaledSchedule(schedule).",
                error=TypeError,
                learning_rate=raw,
                optimizer=optimizer.name,
            )
        schedule.attach(model.optimizer)
        rates.append(ScalableLearningRate(optimizer, schedule))
    return rates


def learning_rate_variables(
    model: keras.Model, callback_name: str
) -> list[keras.Variable]:
    """Returns the learning-rate variable of each optimizer; refuses schedules."""
    variables = []
    for optimizer in updating_optimizers(model, callback_name):
        raw = raw_learning_rate(optimizer)
        if not isinstance(raw, keras.Variable):
            checks.fail(
                f"{callback_name} needs an optimizer whose learning rate is a number. "
                "This optimizer was created with a `LearningRateSchedule`",
                fix="Compile the model with a float learning rate, or leave the "
                "callback out and let the schedule set the rate.",
                error=TypeError,
                learning_rate=raw,
                optimizer=optimizer.name,
            )
        variables.append(raw)
    return variables


def learning_rate_logs(model: keras.Model) -> dict[str, float]:
    """Returns the learning rates under the names that Keras uses in the logs."""
    optimizers = base_optimizers(model.optimizer)
    if len(optimizers) == 1:
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
