"""A schedule that callbacks can still scale."""

import keras
from keras import ops

from keras_strategies._internal import checks, keras_private
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.walking import optimizer_paths
from keras_strategies.schedules._base import checked_schedule, compute_dtype, rate_at


@serializable
class ScaledSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Multiplies a schedule by a factor that can change during training.

    Keras does not let anybody set the learning rate of an optimizer that follows a
    schedule, so that plateau rules and schedules exclude each other. Here a rule
    changes the factor, a variable, between two steps: nothing is compiled again.

    ```
    rate(step) = scale * schedule(step)
    ```

    Call `attach(optimizer)` once the optimizer exists, and again after loading a
    model; then `set_scale` works at any time, in `fit` too, on every backend. The
    scale is saved with the config of the optimizer in a `.keras` file, not with
    the weights.

    Args:
        schedule: The rate to be scaled: a
            `keras.optimizers.schedules.LearningRateSchedule`, its serialized config,
            or a number of at least 0.
        scale: The factor at first, at least 0. Defaults to `1.0`.
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

    def __init__(self, schedule, scale=1.0, name="ScaledSchedule"):
        super().__init__()
        self.schedule = checked_schedule(schedule)
        self.name = checks.instance("name", name, str)
        self.scale = keras.Variable(
            checks.real("scale", scale, low=0),
            dtype=compute_dtype(),
            trainable=False,
            aggregation="only_first_replica",
            name="scale",
        )
        self._path = None  # the optimizer that carries `scale`, and those around it

    def __call__(self, step):
        with keras.name_scope(self.name):
            return rate_at(self.schedule, step) * ops.cast(self.scale, compute_dtype())

    def attach(self, optimizer):
        """Makes the scale a part of the optimizer's step.

        Args:
            optimizer: The optimizer of the model, wrapped or not, that follows this
                schedule, by itself or inside another one. `model.optimizer` is
                always right: compiling may have wrapped what was given to it.

        Returns:
            The schedule itself.
        """
        for path in optimizer_paths(optimizer):
            held = keras_private.held_learning_rate(path[0])
            if _contains(held, self):
                self.detach()
                keras_private.carry(path[0], [self.scale], path[1:])
                self._path = path
                return self
        return checks.fail(
            "`optimizer` must follow this ScaledSchedule",
            fix="Give the schedule as learning_rate to the optimizer first.",
            optimizer=optimizer.name,
        )

    def detach(self):
        """Undoes `attach`; does nothing without it."""
        if self._path is not None:
            path, self._path = self._path, None
            keras_private.stop_carrying(path[0], [self.scale], path[1:])

    def set_scale(self, value):
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

    def get_config(self):
        return {
            "schedule": keras.saving.serialize_keras_object(self.schedule),
            "scale": float(ops.convert_to_numpy(self.scale)),
            "name": self.name,
        }


def _contains(schedule, wanted):
    """Whether `wanted` is `schedule` or lies inside it."""
    if schedule is wanted:
        return True
    inner = [getattr(schedule, "schedule", None), *getattr(schedule, "schedules", ())]
    return any(_contains(item, wanted) for item in inner if callable(item))
