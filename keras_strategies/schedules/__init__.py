"""Learning-rate schedules that run inside the optimizer, at no cost per step.

`WarmupSchedule` goes in front of any schedule. The module `curves` holds the
formulas as pure functions, shared with the learning-rate callbacks.
"""

from keras_strategies.schedules.warmup_schedule import WarmupSchedule

__all__ = ["WarmupSchedule"]
