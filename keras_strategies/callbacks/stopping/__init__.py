"""Stopping rules: no progress, a target, a time limit."""

from keras_strategies.callbacks.stopping.early_stopping import EarlyStopping
from keras_strategies.callbacks.stopping.target_stopping import TargetStopping
from keras_strategies.callbacks.stopping.time_budget import TimeBudget

__all__ = [
    "EarlyStopping",
    "TargetStopping",
    "TimeBudget",
]
