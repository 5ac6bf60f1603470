"""Callbacks that add a strategy to a compiled model, for one `fit` or for many.

Learning-rate schedulers for any optimizer (`StepDecayScheduler`,
`ExponentialDecayScheduler`, `CosineDecayScheduler`) and `GradientClipping`. Each
keeps what it has learned behind `get_state()` and `set_state(state)`.
"""

from keras_strategies.callbacks.cosine_decay_scheduler import CosineDecayScheduler
from keras_strategies.callbacks.exponential_decay_scheduler import (
    ExponentialDecayScheduler,
)
from keras_strategies.callbacks.gradient_clipping import GradientClipping
from keras_strategies.callbacks.step_decay_scheduler import StepDecayScheduler

__all__ = [
    "CosineDecayScheduler",
    "ExponentialDecayScheduler",
    "GradientClipping",
    "StepDecayScheduler",
]
