"""Schedulers of the learning rate and of other hyperparameters of optimizers."""

from keras_strategies.callbacks.schedulers.accumulation_scheduler import (
    AccumulationScheduler,
)
from keras_strategies.callbacks.schedulers.cosine_decay_scheduler import (
    CosineDecayScheduler,
)
from keras_strategies.callbacks.schedulers.exponential_decay_scheduler import (
    ExponentialDecayScheduler,
)
from keras_strategies.callbacks.schedulers.learning_rate_scheduler import (
    LearningRateScheduler,
)
from keras_strategies.callbacks.schedulers.momentum_scheduler import MomentumScheduler
from keras_strategies.callbacks.schedulers.one_cycle_scheduler import OneCycleScheduler
from keras_strategies.callbacks.schedulers.reduce_on_plateau import ReduceOnPlateau
from keras_strategies.callbacks.schedulers.step_decay_scheduler import (
    StepDecayScheduler,
)
from keras_strategies.callbacks.schedulers.weight_decay_scheduler import (
    WeightDecayScheduler,
)

__all__ = [
    "AccumulationScheduler",
    "CosineDecayScheduler",
    "ExponentialDecayScheduler",
    "LearningRateScheduler",
    "MomentumScheduler",
    "OneCycleScheduler",
    "ReduceOnPlateau",
    "StepDecayScheduler",
    "WeightDecayScheduler",
]
