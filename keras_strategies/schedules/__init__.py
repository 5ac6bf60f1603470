"""Learning-rate schedules that run inside the optimizer, at no cost per step.

They count optimizer steps, as Keras's own do, and are passed to any optimizer as its
`learning_rate`. `WarmupSchedule` and `ScaledSchedule` wrap any schedule,
`JoinSchedules` runs several one after the other, and `plot` draws them. The formulas
are pure functions, shared with the learning-rate callbacks.
"""

from keras_strategies.schedules._plot import plot
from keras_strategies.schedules.cyclical import Cyclical
from keras_strategies.schedules.flat_cosine import FlatCosine
from keras_strategies.schedules.inverse_square_root import InverseSquareRoot
from keras_strategies.schedules.join_schedules import JoinSchedules
from keras_strategies.schedules.multi_step_decay import MultiStepDecay
from keras_strategies.schedules.one_cycle import OneCycle
from keras_strategies.schedules.scaled_schedule import ScaledSchedule
from keras_strategies.schedules.step_decay import StepDecay
from keras_strategies.schedules.tanh_decay import TanhDecay
from keras_strategies.schedules.warmup_schedule import WarmupSchedule
from keras_strategies.schedules.warmup_stable_decay import WarmupStableDecay

__all__ = [
    "Cyclical",
    "FlatCosine",
    "InverseSquareRoot",
    "JoinSchedules",
    "MultiStepDecay",
    "OneCycle",
    "ScaledSchedule",
    "StepDecay",
    "TanhDecay",
    "WarmupSchedule",
    "WarmupStableDecay",
    "plot",
]
