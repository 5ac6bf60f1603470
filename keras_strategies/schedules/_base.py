"""Base class and argument checks of the schedules."""

import numbers
from typing import Any, ClassVar

import keras
from keras import ops

from keras_strategies._internal import bases, checks
from keras_strategies._internal.types import Config, Schedule, Tensor


class CurveSchedule(bases.LearningRateSchedule):
    """Base of schedules that are a formula of the step.

    Subclasses list their constructor arguments in `_arguments` and compute the
    learning rate at a step, a floating-point tensor, in `_learning_rate`.
    """

    _arguments: ClassVar[tuple[str, ...]] = ()

    def __call__(self, step: Tensor) -> Tensor:
        with keras.name_scope(self.name):
            return self._learning_rate(ops.cast(step, compute_dtype()))

    def _learning_rate(self, position: Tensor) -> Tensor:
        raise NotImplementedError

    def get_config(self) -> Config:
        return {name: getattr(self, name) for name in self._arguments}


def compute_dtype() -> str:
    """`floatx`, but at least float32: 16-bit floats cannot count steps."""
    floatx = keras.config.floatx()
    return "float32" if floatx in ("float16", "bfloat16") else floatx


def checked_schedule(schedule: Any, name: str = "schedule") -> Schedule:
    """Returns a schedule object or a float; rebuilds a serialized config."""
    if isinstance(schedule, dict):
        schedule = keras.saving.deserialize_keras_object(schedule)
    if isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        return schedule
    if isinstance(schedule, numbers.Real) and not isinstance(schedule, bool):
        return checks.real(name, schedule, low=0)
    return checks.fail(
        f"`{name}` must be a LearningRateSchedule or a number",
        fix="Subclass keras.optimizers.schedules.LearningRateSchedule to wrap a "
        "function.",
        error=TypeError,
        **{name: schedule},
    )


def learning_rate_at(schedule: Any, step: Tensor) -> Tensor:
    """Returns the learning rate of a schedule or of a constant at `step`."""
    return ops.cast(schedule(step) if callable(schedule) else schedule, compute_dtype())


def positive(name: str, value: Any) -> float:
    """Checks a number greater than 0."""
    return checks.real(name, value, low=0, low_open=True)


def fraction(
    name: str, value: Any, *, low_open: bool = False, high_open: bool = False
) -> float:
    """Checks a number between 0 and 1."""
    return checks.real(
        name, value, low=0, high=1, low_open=low_open, high_open=high_open
    )


def increasing(name: str, values: Any) -> list[int]:
    """Checks an increasing list of integers of at least 1."""
    checks.instance(name, values, (list, tuple))
    steps = [checks.integer(f"{name}[{i}]", v, low=1) for i, v in enumerate(values)]
    if not steps or any(a >= b for a, b in zip(steps[:-1], steps[1:], strict=True)):
        checks.fail(f"`{name}` must be one or more increasing steps", **{name: values})
    return steps
