"""Schedule with a scale that callbacks can change."""

from typing import Any, Self

import keras
from keras import ops

from keras_strategies._internal import bases, checks, keras_private
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.traversal import optimizer_paths
from keras_strategies._internal.types import Config, Schedule, Serialized, Tensor
from keras_strategies.schedules._base import (
    checked_schedule,
    compute_dtype,
    learning_rate_at,
)


@serializable
class ScaledSchedule(bases.LearningRateSchedule):
    """Multiplies a schedule by a factor that can change during training.

    Keras does not allow the learning rate of an optimizer with a schedule to be set, so
    that plateau rules and schedules exclude each other. Here the factor is a variable
    that can be changed between two steps without compiling again.

    ```
    rate(step) = scale * schedule(step)
    ```

    Call `attach(optimizer)` once the optimizer exists, and again after loading a
    model; then `set_scale` works at any time, also during `fit`, on every backend. The
    scale is saved in the optimizer's config in a `.keras` file, not with the weights.

    Args:
        schedule: The schedule to scale: a
            `keras.optimizers.schedules.LearningRateSchedule`, its serialized config,
            or a number of at least 0.
        scale: Initial factor, at least 0. Defaults to `1.0`.
        name: Name of the operation. Defaults to `"ScaledSchedule"`.

    Raises:
        TypeError: If `schedule` is neither a schedule nor a number.
        ValueError: If an argument is out of its range; in `attach`, if the
            optimizer does not follow this schedule; in `set_scale`, without
            `attach`.

    Example:

    ```python
    import keras
    from keras_strategies import schedules

    cosine = keras.optimizers.schedules.CosineDecay(0.1, decay_steps=100)
    schedule = schedules.ScaledSchedule(cosine)
    optimizer = keras.optimizers.Adam(schedule)
    schedule.attach(optimizer)
    schedule.set_scale(0.5)
    print(round(float(schedule(0)), 4), round(float(schedule(50)), 4))  # 0.05 0.025
    ```
    """

    def __init__(
        self,
        schedule: Schedule | Serialized,
        scale: float = 1.0,
        name: str = "ScaledSchedule",
    ) -> None:
        super().__init__()
        self.schedule: Schedule = checked_schedule(schedule)
        self.name: str = checks.instance("name", name, str)
        self.scale: keras.Variable = keras.Variable(
            checks.real("scale", scale, low=0),
            dtype=compute_dtype(),
            trainable=False,
            # Equal on all replicas of tf.distribute: any of them may be stored.
            aggregation="only_first_replica",
            name="scale",
        )
        self._path = None  # the optimizer that tracks `scale`, and its wrappers

    def __call__(self, step: Tensor) -> Tensor:
        with keras.name_scope(self.name):
            return learning_rate_at(self.schedule, step) * ops.cast(
                self.scale, compute_dtype()
            )

    def attach(self, optimizer: keras.optimizers.Optimizer) -> Self:
        """Makes the scale a variable of the optimizer.

        Args:
            optimizer: The optimizer, wrapped or not, whose learning rate is this
                schedule or one that contains it. Use `model.optimizer`: `compile` may
                have wrapped the optimizer that it was given.

        Returns:
            The schedule itself.
        """
        # The variable must be one of the optimizer's: on JAX a compiled step has only
        # those as inputs, and would use the value at the time of the trace.
        for path in optimizer_paths(optimizer):
            current = keras_private.raw_learning_rate(path[0])
            if _contains(current, self):
                self.detach()
                keras_private.track_unsaved_state(
                    path[0], [self.scale], path[1:], temporary=False
                )
                self._path = path
                return self
        return checks.fail(
            "`optimizer` must follow this ScaledSchedule",
            fix="Give the schedule as learning_rate to the optimizer first.",
            optimizer=optimizer.name,
        )

    def detach(self) -> None:
        """Undoes `attach`; does nothing if it was not called."""
        if self._path is not None:
            path, self._path = self._path, None
            keras_private.untrack_unsaved_state(path[0], [self.scale], path[1:])

    def set_scale(self, value: Any) -> None:
        """Sets the factor from the next step on.

        Args:
            value: The new factor, at least 0.
        """
        value = checks.real("value", value, low=0)
        if self._path is None:
            checks.fail(
                "`attach` must be called before `set_scale`",
                fix="Call schedule.attach(model.optimizer) after compiling or loading.",
                value=value,
            )
        self.scale.assign(value)

    def get_config(self) -> Config:
        return {
            "schedule": keras.saving.serialize_keras_object(self.schedule),
            "scale": float(ops.convert_to_numpy(self.scale)),
            "name": self.name,
        }


def _contains(schedule: Any, target: Any) -> bool:
    """Returns whether `target` is `schedule` or one of the schedules it wraps."""
    if schedule is target:
        return True
    inner = [getattr(schedule, "schedule", None), *getattr(schedule, "schedules", ())]
    return any(_contains(item, target) for item in inner if callable(item))
