"""What the schedules of the package share."""

import numbers

import keras
from keras import ops

from keras_strategies._internal import checks


class CurveSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule that is a formula of the step.

    Subclasses list their constructor arguments in `_arguments` and give the rate
    at a position, a floating-point tensor, in `_rate`.
    """

    _arguments = ()

    def __call__(self, step):
        with keras.name_scope(self.name):
            return self._rate(ops.cast(step, compute_dtype()))

    def _rate(self, position):
        raise NotImplementedError

    def get_config(self):
        return {name: getattr(self, name) for name in self._arguments}


def compute_dtype():
    """`floatx`, but at least float32: 16-bit floats cannot count steps."""
    floatx = keras.config.floatx()
    return "float32" if floatx in ("float16", "bfloat16") else floatx


def checked_schedule(schedule, name="schedule"):
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


def rate_at(schedule, step):
    """The rate of a schedule object or of a constant at `step`."""
    return ops.cast(schedule(step) if callable(schedule) else schedule, compute_dtype())


def positive(name, value):
    """Checks a number greater than 0."""
    return checks.real(name, value, low=0, low_open=True)


def fraction(name, value, *, low_open=False, high_open=False):
    """Checks a number between 0 and 1."""
    return checks.real(
        name, value, low=0, high=1, low_open=low_open, high_open=high_open
    )


def increasing(name, values):
    """Checks an increasing list of integers of at least 1."""
    checks.instance(name, values, (list, tuple))
    steps = [checks.integer(f"{name}[{i}]", v, low=1) for i, v in enumerate(values)]
    if not steps or any(a >= b for a, b in zip(steps[:-1], steps[1:], strict=True)):
        checks.fail(f"`{name}` must be one or more increasing steps", **{name: values})
    return steps
