"""Concatenation of schedules."""

from collections.abc import Sequence

import keras
from keras import ops

from keras_strategies._internal import bases, checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Schedule, Serialized, Tensor
from keras_strategies.schedules._base import (
    checked_schedule,
    increasing,
    learning_rate_at,
)


@serializable
class JoinSchedules(bases.LearningRateSchedule):
    """Runs several schedules one after the other.

    For shapes that no single schedule has, such as a constant phase with two cosine
    decays, or warm restarts at chosen steps. Constant phases are given as numbers.

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
        shift: `True` starts each schedule at its own step 0, `False` passes the
            overall step to each of them. Defaults to `True`.
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

    def __init__(
        self,
        schedules: Sequence[Schedule | Serialized],
        boundaries: Sequence[int],
        shift: bool = True,
        name: str = "JoinSchedules",
    ) -> None:
        super().__init__()
        checks.instance("schedules", schedules, (list, tuple))
        self.schedules: list[Schedule] = [
            checked_schedule(item, f"schedules[{i}]")
            for i, item in enumerate(schedules)
        ]
        self.boundaries: list[int] = increasing("boundaries", boundaries)
        if len(self.schedules) != len(self.boundaries) + 1:
            checks.fail(
                "`boundaries` must be one fewer than `schedules`",
                schedules=schedules,
                boundaries=boundaries,
            )
        self.shift: bool = checks.boolean("shift", shift)
        self.name: str = checks.instance("name", name, str)

    def __call__(self, step: Tensor) -> Tensor:
        with keras.name_scope(self.name):
            learning_rate = learning_rate_at(self.schedules[0], step)
            for start, schedule in zip(
                self.boundaries, self.schedules[1:], strict=True
            ):
                # Integers throughout: float32 would lose single steps past 2**24.
                clamped = ops.maximum(step, start)
                following = learning_rate_at(
                    schedule, clamped - start if self.shift else clamped
                )
                learning_rate = ops.where(
                    ops.greater_equal(step, start), following, learning_rate
                )
            return learning_rate

    def get_config(self) -> Config:
        serialize = keras.saving.serialize_keras_object
        return {
            "schedules": [serialize(schedule) for schedule in self.schedules],
            "boundaries": self.boundaries,
            "shift": self.shift,
            "name": self.name,
        }
