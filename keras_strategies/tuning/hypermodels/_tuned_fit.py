"""Hypermodel whose `fit` searches batch size, epochs and learning-rate schedule."""

import inspect
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, get_args

import keras
import keras_tuner
from keras_tuner import errors

from keras_strategies import callbacks
from keras_strategies._internal import checks
from keras_strategies.tuning._private import bases
from keras_strategies.tuning._space import ranges

ScheduleName: TypeAlias = Literal[
    "constant", "step", "exponential", "cosine", "one_cycle"
]
SCHEDULES: tuple[str, ...] = get_args(ScheduleName)
# Step and exponential decay end at this fraction of the first learning rate; the steps
# are so many values.
_FINAL_FRACTION = 0.01
_NUM_STEPS = 3


def schedule_callbacks(name: str, epochs: int) -> list[keras.callbacks.Callback]:
    """The callbacks of one schedule, over the whole fit of `epochs` epochs.

    Callbacks and not schedule objects: the optimizer keeps a plain learning rate, so
    that the weights a tuner saves load into the model it builds again.
    """
    if name == "constant":
        return []
    if name == "step":
        return [
            callbacks.StepDecayScheduler(
                decay_steps=max(epochs / _NUM_STEPS, 1),
                decay_rate=_FINAL_FRACTION ** (1 / (_NUM_STEPS - 1)),
            )
        ]
    if name == "exponential":
        return [
            callbacks.ExponentialDecayScheduler(
                decay_steps=epochs, decay_rate=_FINAL_FRACTION
            )
        ]
    if name == "cosine":
        return [callbacks.CosineDecayScheduler()]
    return [callbacks.OneCycleScheduler(cycle_momentum=False)]


class TunedFit(bases.HyperModel):
    """Base of the hypermodels: the part of the space that belongs to `fit`.

    A subclass has `_sample(hp)`, which declares its whole space and ends with
    `_sample_fit(hp)`, and `build(hp)`.
    """

    def __init__(
        self,
        batch_size: ranges.IntRange | None,
        epochs: ranges.IntRange | None,
        schedule: ranges.Names | None,
        name: str | None,
        tunable: bool,
    ) -> None:
        self.batch_size: tuple[int, int] | None = None
        if batch_size is not None:
            self.batch_size = ranges.int_range("batch_size", batch_size, low=1)
        self.epochs: tuple[int, int] | None = None
        if epochs is not None:
            self.epochs = ranges.int_range("epochs", epochs, low=1)
        self.schedule: tuple[str, ...] | None = None
        if schedule is not None:
            self.schedule = ranges.names("schedule", schedule, SCHEDULES)
        super().__init__(name=name, tunable=checks.boolean("tunable", tunable))

    def declare_hyperparameters(self, hp: keras_tuner.HyperParameters) -> None:
        if self.tunable:
            self._sample(hp)

    def _sample(self, hp: keras_tuner.HyperParameters) -> dict[str, Any]:
        """Declares the whole space; the values of this trial."""
        raise NotImplementedError

    def fit(
        self,
        hp: keras_tuner.HyperParameters,
        model: keras.Model,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        # By name, wherever the user has put an argument in `search`.
        bound = inspect.signature(model.fit).bind(*args, **kwargs).arguments
        for name in ("batch_size", "epochs"):
            if getattr(self, name) is not None and bound.get(name) is not None:
                self._refuse_second(name, bound[name])
        self._check_targets(bound.get("y"))
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
            # First, so that other callbacks see the learning rate of the epoch.
            kwargs["callbacks"] = [
                *schedule_callbacks(values["schedule"], epochs),
                *(kwargs.get("callbacks") or []),
            ]
        return self._train(hp, model, *args, **kwargs)

    def _check_targets(self, y: Any) -> None:
        """Ends the search if the targets do not fit the task; for subclasses."""

    def _train(
        self,
        hp: keras_tuner.HyperParameters,
        model: keras.Model,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """Trains with the arguments of `fit`; subclasses add phases."""
        return model.fit(*args, **kwargs)

    def _sample_fit(self, hp: keras_tuner.HyperParameters) -> dict[str, Any]:
        values: dict[str, Any] = dict.fromkeys(("batch_size", "epochs", "schedule"))
        for name in ("batch_size", "epochs"):
            if getattr(self, name) is not None:
                values[name] = ranges.sample_int(hp, name, getattr(self, name))
        if self.schedule is not None:
            values["schedule"] = ranges.sample_choice(hp, "schedule", self.schedule)
        return values

    def _refuse_second(self, name: str, value: Any) -> None:
        """Ends the search: the argument is set here and in `search`."""
        owner = type(self).__name__
        raise errors.FatalValueError(
            checks.message(
                f"`{name}` must not be given to `search` too",
                {name: value, owner: getattr(self, name)},
                f"Pass {owner}(..., {name}=None) to set it in `search`.",
            )
        )


def _takes_batch_size(data: Any) -> bool:
    """Whether `fit` divides `data` into batches itself, as it does arrays."""
    return all(hasattr(part, "shape") for part in keras.tree.flatten(data))


def first_phase(bound: Mapping[str, Any], epochs: int) -> dict[str, Any]:
    """Arguments of `fit` for a first phase of `epochs`, unobserved by the tuner."""
    unobserved = ("validation_data", "callbacks", "validation_freq")
    return {k: v for k, v in bound.items() if k not in unobserved} | {"epochs": epochs}
