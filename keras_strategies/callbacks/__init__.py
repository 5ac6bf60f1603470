"""Callbacks that add a strategy to a compiled model, for one `fit` or for many.

Schedulers for rates and other numbers, stopping, clipping, averages of the weights,
recovery, unfreezing, and monitors that show what a training does. Each keeps what it
has learned behind `get_state()` and `set_state(state)`.
"""

from keras_strategies.callbacks.accumulation_scheduler import AccumulationScheduler
from keras_strategies.callbacks.best_weights import BestWeights
from keras_strategies.callbacks.cosine_decay_scheduler import CosineDecayScheduler
from keras_strategies.callbacks.early_stopping import EarlyStopping
from keras_strategies.callbacks.exponential_decay_scheduler import (
    ExponentialDecayScheduler,
)
from keras_strategies.callbacks.gradient_clipping import GradientClipping
from keras_strategies.callbacks.gradient_monitor import GradientMonitor
from keras_strategies.callbacks.gradual_unfreezing import GradualUnfreezing
from keras_strategies.callbacks.label_smoothing_scheduler import LabelSmoothingScheduler
from keras_strategies.callbacks.learning_rate_finder import LearningRateFinder
from keras_strategies.callbacks.learning_rate_scheduler import LearningRateScheduler
from keras_strategies.callbacks.memory_monitor import MemoryMonitor
from keras_strategies.callbacks.momentum_scheduler import MomentumScheduler
from keras_strategies.callbacks.nan_recovery import NaNRecovery
from keras_strategies.callbacks.one_cycle_scheduler import OneCycleScheduler
from keras_strategies.callbacks.progress_bar import ProgressBar
from keras_strategies.callbacks.progressive_resizing import ProgressiveResizing
from keras_strategies.callbacks.reduce_on_plateau import ReduceOnPlateau
from keras_strategies.callbacks.sequence_length_warmup import SequenceLengthWarmup
from keras_strategies.callbacks.state import get_state, set_state
from keras_strategies.callbacks.step_decay_scheduler import StepDecayScheduler
from keras_strategies.callbacks.target_stopping import TargetStopping
from keras_strategies.callbacks.throughput_monitor import ThroughputMonitor
from keras_strategies.callbacks.time_budget import TimeBudget
from keras_strategies.callbacks.weight_averaging import WeightAveraging
from keras_strategies.callbacks.weight_decay_scheduler import WeightDecayScheduler

__all__ = [
    "AccumulationScheduler",
    "BestWeights",
    "CosineDecayScheduler",
    "EarlyStopping",
    "ExponentialDecayScheduler",
    "GradientClipping",
    "GradientMonitor",
    "GradualUnfreezing",
    "LabelSmoothingScheduler",
    "LearningRateFinder",
    "LearningRateScheduler",
    "MemoryMonitor",
    "MomentumScheduler",
    "NaNRecovery",
    "OneCycleScheduler",
    "ProgressBar",
    "ProgressiveResizing",
    "ReduceOnPlateau",
    "SequenceLengthWarmup",
    "StepDecayScheduler",
    "TargetStopping",
    "ThroughputMonitor",
    "TimeBudget",
    "WeightAveraging",
    "WeightDecayScheduler",
    "get_state",
    "set_state",
]
