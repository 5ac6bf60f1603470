"""Several schedules one after the other."""

import keras
from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies.schedules._base import checked_schedule, increasing, rate_at


@serializable
class JoinSchedules(keras.optimizers.schedules.LearningRateSchedule):
    """Follows one schedule after the other.

    For courses that no single schedule has: a long constant phase and two cosine
    ends, a warm restart at chosen steps. Constants are given as numbers.

    ```
    rate(step) = schedules[i](step - boundaries[i - 1])    shift=True
                 schedules[i](step)                        shift=False
    ```

    where `i` is the number of boundaries `b` with `b <= step` and
    `boundaries[-1] = 0`. Every schedule is computed at every step, which costs
    nothing measurable.

    Args:
        schedules: Two or more: `keras.optimizers.schedules.LearningRateSchedule`
            objects, their serialized configs, or numbers of at least 0.
        boundaries: Optimizer steps at which the next schedule begins: increasing
            integers of at least 1, one fewer than `schedules`.
        shift: `True` starts each schedule at its own step 0, `False` keeps one time
            axis for all. Defaults to `True`.
        name: Name of the operation. Defaults to `"JoinSchedules"`.

    Raises:
        TypeError: If one of `schedules` is neither a schedule nor a number.
        ValueError: If an argument is out of its range.

    Example:

    ```python
    import keras
    from keras_strategies import schedules

    decay = keras.optimizers.schedules.CosineDecay(0.1, decay_steps=100)
    schedule = schedules.JoinSchedules([0.01, decay, 0.001], boundaries=[20, 110])
    print([round(float(schedule(step)), 3) for step in (0, 19, 20, 70, 110)])
    # [0.01, 0.01, 0.1, 0.05, 0.001]
    ```
    """

    def __init__(self, schedules, boundaries, shift=True, name="JoinSchedules"):
        super().__init__()
        checks.instance("schedules", schedules, (list, tuple))
        self.schedules = [
            checked_schedule(item, f"schedules[{i}]")
            for i, item in enumerate(schedules)
        ]
        self.boundaries = increasing("boundaries", boundaries)
        if len(self.schedules) != len(self.boundaries) + 1:
            checks.fail(
                "`boundaries` must be one fewer than `schedules`",
                schedules=schedules,
                boundaries=boundaries,
            )
        self.shift = checks.boolean("shift", shift)
        self.name = checks.instance("name", name, str)

    def __call__(self, step):
        with keras.name_scope(self.name):
            rate = rate_at(self.schedules[0], step)
            for start, schedule in zip(
                self.boundaries, self.schedules[1:], strict=True
            ):
                # Integers throughout: float32 would lose single steps past 2**24.
                later = ops.maximum(step, start)
                later = rate_at(schedule, later - start if self.shift else later)
                rate = ops.where(ops.greater_equal(step, start), later, rate)
            return rate

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {
            "schedules": [serialize(schedule) for schedule in self.schedules],
            "boundaries": self.boundaries,
            "shift": self.shift,
            "name": self.name,
        }
