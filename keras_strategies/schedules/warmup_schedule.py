"""Warm-up in front of any learning-rate schedule."""

import keras
from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.registration import serializable
from keras_strategies.schedules import curves
from keras_strategies.schedules._base import checked_schedule, compute_dtype

_SHAPES = ("linear", "cosine")


@serializable
class WarmupSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Lets the learning rate rise over the first steps, then follows a schedule.

    Adaptive optimizers have no reliable second moments in their first steps, and
    large batches need large learning rates that a fresh network cannot bear; a
    short warm-up removes both problems. It goes in front of any schedule, those
    of Keras and a constant rate included, and costs nothing measurable, because
    it runs inside the compiled training step.

    ```
    target(step) = schedule(max(step - warmup_steps, 0))        shift=True
                   schedule(max(step, warmup_steps))            shift=False
    p(step)      = min(step / warmup_steps, 1)
    rate(step)   = (1 - f(p)) * initial_learning_rate + f(p) * target(step)
    ```

    with `f(p) = p` for `shape="linear"` and `f(p) = (1 - cos(pi * p)) / 2` for
    `shape="cosine"`. The rate is continuous at `warmup_steps`. Steps are
    optimizer steps, as in every Keras schedule.

    Reference:

    - [Goyal et al., 2017, Accurate, Large Minibatch SGD: Training ImageNet in
      1 Hour](https://arxiv.org/abs/1706.02677)

    Args:
        schedule: The learning rate after the warm-up: a
            `keras.optimizers.schedules.LearningRateSchedule`, its serialized
            config, or a number of at least 0 for a constant rate.
        warmup_steps: Length of the warm-up in optimizer steps, at least 0. With
            0, `schedule` is followed from the first step.
        initial_learning_rate: Learning rate at step 0, at least 0. Defaults to
            `0.0`.
        shape: `"linear"` or `"cosine"`, which starts and ends gently. Defaults
            to `"linear"`.
        shift: `True` starts `schedule` at its own step 0 when the warm-up is
            over, so that its whole course is used. `False` keeps its time axis:
            the warm-up hides the first `warmup_steps` of it. Defaults to `True`.
        name: Name of the operation. Defaults to `"WarmupSchedule"`.

    Raises:
        TypeError: If `schedule` is neither a schedule nor a number, for example
            a plain function, which could not be saved.
        ValueError: If an argument is out of its range.

    Example:

    ```python
    import keras
    from keras_strategies import schedules

    decay = keras.optimizers.schedules.CosineDecay(1e-2, decay_steps=900)
    schedule = schedules.WarmupSchedule(decay, warmup_steps=100)
    print([round(float(schedule(step)), 4) for step in (0, 50, 100, 550, 1000)])
    # [0.0, 0.005, 0.01, 0.005, 0.0]
    optimizer = keras.optimizers.AdamW(learning_rate=schedule)
    ```
    """

    def __init__(
        self,
        schedule,
        warmup_steps,
        initial_learning_rate=0.0,
        shape="linear",
        shift=True,
        name="WarmupSchedule",
    ):
        super().__init__()
        self.schedule = checked_schedule(schedule)
        self.warmup_steps = checks.integer("warmup_steps", warmup_steps, low=0)
        self.initial_learning_rate = checks.real(
            "initial_learning_rate", initial_learning_rate, low=0
        )
        self.shape = checks.choice("shape", shape, _SHAPES)
        self.shift = checks.boolean("shift", shift)
        self.name = checks.instance("name", name, str)

    def __call__(self, step):
        with keras.name_scope(self.name):
            dtype = compute_dtype()
            target = ops.cast(self._target(step), dtype)
            if self.warmup_steps == 0:
                return target
            fraction = curves.warmup_fraction(
                ops.cast(step, dtype), float(self.warmup_steps), self.shape
            )
            return (1.0 - fraction) * self.initial_learning_rate + fraction * target

    def _target(self, step):
        if not callable(self.schedule):
            return self.schedule
        # Integers throughout: a float32 step would lose single steps past 2**24.
        step = ops.maximum(step, self.warmup_steps)
        return self.schedule(step - self.warmup_steps if self.shift else step)

    def get_config(self):
        return {
            "schedule": keras.saving.serialize_keras_object(self.schedule),
            "warmup_steps": self.warmup_steps,
            "initial_learning_rate": self.initial_learning_rate,
            "shape": self.shape,
            "shift": self.shift,
            "name": self.name,
        }
