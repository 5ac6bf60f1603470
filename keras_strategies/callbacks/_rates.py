"""Learning rates that a callback can scale, whatever the optimizer holds."""

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import held_learning_rate
from keras_strategies._internal.walking import base_optimizers
from keras_strategies.callbacks._base import updating_optimizers
from keras_strategies.schedules import ScaledSchedule


class ScalableRate:
    """The rate of one optimizer: a variable, or the scale of a schedule."""

    def __init__(self, optimizer, schedule=None):
        self.optimizer, self._schedule = optimizer, schedule
        self._held = schedule.scale if schedule else held_learning_rate(optimizer)

    @property
    def rate(self):
        """Learning rate now."""
        return read_rate(self.optimizer.learning_rate)

    @property
    def value(self):
        """What `set` sets: the learning rate, or the scale."""
        return read_rate(self._held)

    def set(self, value):
        if self._schedule is None:
            self._held.assign(value)
        else:
            self._schedule.set_scale(value)

    def reduce(self, factor, lowest=0.0):
        """Multiplies the rate, not below `lowest`; returns the new rate."""
        rate = self.rate
        new_rate = max(rate * factor, lowest)
        if self._schedule is None:
            self.set(new_rate)
        elif rate > 0:
            self.set(self.value * (new_rate / rate))
        return new_rate


def scalable_rates(model, callback):
    """One `ScalableRate` for each optimizer of a model.

    Refuses a schedule that nobody can scale.
    """
    owner = type(callback).__name__
    rates = []
    for leaf in updating_optimizers(model, owner):
        held = held_learning_rate(leaf)
        if isinstance(held, keras.Variable):
            rates.append(ScalableRate(leaf))
            continue
        schedule = _scaled_schedule(held)
        if schedule is None:
            checks.fail(
                "This optimizer was created with a `LearningRateSchedule` object or a "
                f"function as its learning rate, which {owner} cannot reduce",
                fix="Compile the model with a float learning rate, or with "
                "schedules.ScaledSchedule(schedule).",
                error=TypeError,
                learning_rate=held,
                optimizer=leaf.name,
            )
        schedule.attach(model.optimizer)
        rates.append(ScalableRate(leaf, schedule))
    return rates


def rate_logs(model):
    """Learning rates under the names that Keras gives them in the logs."""
    leaves = base_optimizers(model.optimizer)
    if len(leaves) == 1:
        return {"learning_rate": read_rate(leaves[0].learning_rate)}
    return {
        f"learning_rate_{leaf.name}": read_rate(leaf.learning_rate) for leaf in leaves
    }


def _scaled_schedule(schedule):
    """The outermost ScaledSchedule in a schedule of schedules, or `None`."""
    if isinstance(schedule, ScaledSchedule):
        return schedule
    inner = [getattr(schedule, "schedule", None), *getattr(schedule, "schedules", ())]
    found = (_scaled_schedule(item) for item in inner if callable(item))
    return next((item for item in found if item is not None), None)


def read_rate(value):
    """The number in a learning rate's variable or tensor."""
    return float(keras.ops.convert_to_numpy(value))
