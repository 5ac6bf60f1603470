"""Callbacks that add a strategy to a compiled model, for one `fit` or for many.

Schedulers of learning rates and other hyperparameters, stopping rules, gradient
clipping, averages of the weights, recovery, unfreezing, and monitors of a training.
The state of each is a plain dict behind `get_state()` and `set_state(state)`.
"""

from keras_strategies.callbacks._state import get_state, set_state
from keras_strategies.callbacks.data import (
    LabelSmoothingScheduler,
    ProgressiveResizing,
    SequenceLengthWarmup,
)
from keras_strategies.callbacks.gradients import (
    GradientClipping,
    GradualUnfreezing,
)
from keras_strategies.callbacks.monitors import (
    GradientMonitor,
    LearningRateFinder,
    MemoryMonitor,
    ProgressBar,
    ThroughputMonitor,
)
from keras_strategies.callbacks.schedulers import (
    AccumulationScheduler,
    CosineDecayScheduler,
    ExponentialDecayScheduler,
    LearningRateScheduler,
    MomentumScheduler,
    OneCycleScheduler,
    ReduceOnPlateau,
    StepDecayScheduler,
    WeightDecayScheduler,
)
from keras_strategies.callbacks.stopping import (
    EarlyStopping,
    TargetStopping,
    TimeBudget,
)
from keras_strategies.callbacks.weights import (
    BestWeights,
    NaNRecovery,
    WeightAveraging,
)

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
