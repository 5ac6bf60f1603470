"""A hypermodel whose `fit` searches batch size, epochs and the schedule of the rate."""

import inspect

import keras
import keras_tuner
from keras_tuner import errors

from keras_strategies import callbacks
from keras_strategies._internal import checks
from keras_strategies.tuning._space import ranges as _ranges

SCHEDULES = ("constant", "step", "exponential", "cosine", "one_cycle")
# What step and exponential decay leave of the first rate.
_LEFT = 0.01
_LEVELS = 3


def scheduler(name, epochs):
    """The callbacks of one schedule, over the whole fit of `epochs` epochs.

    Callbacks and not schedule objects: the optimizer keeps a plain rate, so that the
    weights a tuner saves load into the model it builds again.
    """
    if name == "constant":
        return []
    if name == "step":
        return [
            callbacks.StepDecayScheduler(
                decay_steps=max(epochs / _LEVELS, 1),
                decay_rate=_LEFT ** (1 / (_LEVELS - 1)),
            )
        ]
    if name == "exponential":
        return [
            callbacks.ExponentialDecayScheduler(decay_steps=epochs, decay_rate=_LEFT)
        ]
    if name == "cosine":
        return [callbacks.CosineDecayScheduler()]
    return [callbacks.OneCycleScheduler(cycle_momentum=False)]


class TunedFit(keras_tuner.HyperModel):
    """Common to the hypermodels: the part of the space that belongs to `fit`.

    A subclass has `_sample(hp)`, which declares its whole space and ends with
    `_sample_fit(hp)`, and `build(hp)`.
    """

    def __init__(self, batch_size, epochs, schedule, name, tunable):
        self.batch_size = batch_size
        if batch_size is not None:
            self.batch_size = _ranges.int_range("batch_size", batch_size, low=1)
        self.epochs = epochs
        if epochs is not None:
            self.epochs = _ranges.int_range("epochs", epochs, low=1)
        self.schedule = schedule
        if schedule is not None:
            self.schedule = _ranges.names("schedule", schedule, SCHEDULES)
        super().__init__(name=name, tunable=checks.boolean("tunable", tunable))

    def declare_hyperparameters(self, hp):
        if self.tunable:
            self._sample(hp)

    def fit(self, hp, model, *args, **kwargs):
        bound = inspect.signature(model.fit).bind(*args, **kwargs).arguments
        for name in ("batch_size", "epochs"):
            if getattr(self, name) is not None and bound.get(name) is not None:
                self._given_twice(name, bound[name])
        data = bound.get("x")
        if self.batch_size is not None and not _takes_batch_size(data):
            raise errors.FatalValueError(
                checks.message(
                    "`batch_size` must be None for data that is already batched",
                    {"batch_size": self.batch_size, "x": type(data).__name__},
                    f"Pass {type(self).__name__}(..., batch_size=None).",
                )
            )
        values = self._sample_fit(hp if self.tunable else hp.copy())
        for name in ("batch_size", "epochs"):
            if values[name] is not None:
                kwargs[name] = values[name]
        if values["schedule"] is not None:
            epochs = values["epochs"] or bound.get("epochs", 1)
            kwargs["callbacks"] = [
                *scheduler(values["schedule"], epochs),
                *(kwargs.get("callbacks") or []),
            ]
        return self._train(hp, model, *args, **kwargs)

    def _train(self, hp, model, *args, **kwargs):
        return model.fit(*args, **kwargs)

    def _sample_fit(self, hp):
        values = dict.fromkeys(("batch_size", "epochs", "schedule"))
        for name in ("batch_size", "epochs"):
            if getattr(self, name) is not None:
                values[name] = _ranges.sample_int(hp, name, getattr(self, name))
        if self.schedule is not None:
            values["schedule"] = _ranges.sample_name(hp, "schedule", self.schedule)
        return values

    def _given_twice(self, name, value):
        owner = type(self).__name__
        raise errors.FatalValueError(
            checks.message(
                f"`{name}` must not be given to `search` too",
                {name: value, owner: getattr(self, name)},
                f"Pass {owner}(..., {name}=None) to set it in `search`.",
            )
        )


def _takes_batch_size(data):
    """Whether `fit` cuts `data` into batches itself, as it does arrays."""
    return all(hasattr(part, "shape") for part in keras.tree.flatten(data))


def quiet_phase(bound, epochs):
    """Arguments of `fit` for a first phase of `epochs` that the tuner does not see."""
    without = ("validation_data", "callbacks", "validation_freq")
    return {k: v for k, v in bound.items() if k not in without} | {"epochs": epochs}
