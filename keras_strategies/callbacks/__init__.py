"""Callbacks that add a strategy to a compiled model, for one `fit` or for many.

Schedulers of learning rates and other hyperparameters, stopping rules, gradient
clipping, averages of the weights, recovery, unfreezing, and monitors of a training.
The state of each is a plain dict behind `get_state()` and `set_state(state)`, as
`Stateful` says.
"""

from keras_strategies.callbacks._common.stateful import Stateful
from keras_strategies.callbacks._common.step_values import StepValues
from keras_strategies.callbacks._state import get_state, set_state
from keras_strategies.callbacks.data.label_smoothing_scheduler import (
    LabelSmoothingScheduler,
)
from keras_strategies.callbacks.data.progressive_resizing import ProgressiveResizing
from keras_strategies.callbacks.data.sequence_length_warmup import SequenceLengthWarmup
from keras_strategies.callbacks.gradients.gradient_clipping import GradientClipping
from keras_strategies.callbacks.gradients.gradual_unfreezing import GradualUnfreezing
from keras_strategies.callbacks.monitors.gradient_monitor import GradientMonitor
from keras_strategies.callbacks.monitors.learning_rate_finder import LearningRateFinder
from keras_strategies.callbacks.monitors.memory_monitor import MemoryMonitor
from keras_strategies.callbacks.monitors.progress_bar import ProgressBar
from keras_strategies.callbacks.monitors.throughput_monitor import ThroughputMonitor
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
from keras_strategies.callbacks.stopping.early_stopping import EarlyStopping
from keras_strategies.callbacks.stopping.target_stopping import TargetStopping
from keras_strategies.callbacks.stopping.time_budget import TimeBudget
from keras_strategies.callbacks.weights.best_weights import BestWeights
from keras_strategies.callbacks.weights.nan_recovery import NaNRecovery
from keras_strategies.callbacks.weights.weight_averaging import WeightAveraging

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
    "Stateful",
    "StepDecayScheduler",
    "StepValues",
    "TargetStopping",
    "ThroughputMonitor",
    "TimeBudget",
    "WeightAveraging",
    "WeightDecayScheduler",
    "get_state",
    "set_state",
]
