"""Warm-up in front of any learning-rate schedule."""

from typing import Literal

import keras
from keras import ops

from keras_strategies._internal import bases, checks
from keras_strategies._internal.registration import serializable
from keras_strategies._internal.types import Config, Schedule, Serialized, Tensor
from keras_strategies.schedules import _curves
from keras_strategies.schedules._base import checked_schedule, compute_dtype

_SHAPES = ("linear", "cosine")


@serializable
class WarmupSchedule(bases.LearningRateSchedule):
    """Warms up the learning rate over the first steps, then follows a schedule.

    Adaptive optimizers have no reliable second moments in their first steps, and
    large batches need large learning rates at which a freshly initialized network
    diverges; a short warm-up solves both problems. It can precede any schedule, also
    those of Keras and a constant, and has no measurable cost, because it runs inside
    the compiled training step.

    ```
    target(step) = schedule(max(step - warmup_steps, 0))        shift=True
                   schedule(max(step, warmup_steps))            shift=False
    p(step)      = min(step / warmup_steps, 1)
    rate(step)   = (1 - f(p)) * initial_learning_rate + f(p) * target(step)
    ```

    with `f(p) = p` for `shape="linear"` and `f(p) = (1 - cos(pi * p)) / 2` for
    `shape="cosine"`. The learning rate is continuous at `warmup_steps`. Steps are
    optimizer steps, as in every Keras schedule.

    Reference:

    - [Goyal et al., 2017, Accurate, Large Minibatch SGD: Training ImageNet in
      1 Hour](https://arxiv.org/abs/1706.02677)

    Args:
        schedule: The learning rate after the warm-up: a
            `keras.optimizers.schedules.LearningRateSchedule`, its serialized
            config, or a number of at least 0 for a constant learning rate.
        warmup_steps: Length of the warm-up in optimizer steps, at least 0. With
            0, `schedule` is followed from the first step.
        initial_learning_rate: Learning rate at step 0, at least 0. Defaults to
            `0.0`.
        shape: `"linear"` or `"cosine"`, which starts and ends with slope 0. Defaults
            to `"linear"`.
        shift: `True` starts `schedule` at its own step 0 after the warm-up, so that
            all of it is used. `False` passes the overall step to it: the warm-up
            replaces its first `warmup_steps` steps. Defaults to `True`.
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
        schedule: Schedule | Serialized,
        warmup_steps: int,
        initial_learning_rate: float = 0.0,
        shape: Literal["linear", "cosine"] = "linear",
        shift: bool = True,
        name: str = "WarmupSchedule",
    ) -> None:
        super().__init__()
        self.schedule: Schedule = checked_schedule(schedule)
        self.warmup_steps: int = checks.integer("warmup_steps", warmup_steps, low=0)
        self.initial_learning_rate: float = checks.real(
            "initial_learning_rate", initial_learning_rate, low=0
        )
        self.shape: str = checks.choice("shape", shape, _SHAPES)
        self.shift: bool = checks.boolean("shift", shift)
        self.name: str = checks.instance("name", name, str)

    def __call__(self, step: Tensor) -> Tensor:
        with keras.name_scope(self.name):
            dtype = compute_dtype()
            target = ops.cast(self._target(step), dtype)
            if self.warmup_steps == 0:
                return target
            fraction = _curves.warmup_fraction(
                ops.cast(step, dtype), float(self.warmup_steps), self.shape
            )
            # Towards the moving target, so that it is continuous at `warmup_steps`.
            return (1.0 - fraction) * self.initial_learning_rate + fraction * target

    def _target(self, step: Tensor) -> Tensor:
        if not callable(self.schedule):
            return self.schedule
        # Integers throughout: a float32 step would lose single steps past 2**24.
        step = ops.maximum(step, self.warmup_steps)
        return self.schedule(step - self.warmup_steps if self.shift else step)

    def get_config(self) -> Config:
        return {
            "schedule": keras.saving.serialize_keras_object(self.schedule),
            "warmup_steps": self.warmup_steps,
            "initial_learning_rate": self.initial_learning_rate,
            "shape": self.shape,
            "shift": self.shift,
            "name": self.name,
        }
