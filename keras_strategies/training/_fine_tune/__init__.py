"""Transfer learning: heads, frozen layers, two phases."""

from keras_strategies.training._fine_tune.fine_tune_result import FineTuneResult
from keras_strategies.training._fine_tune.freezing import freeze, unfreeze
from keras_strategies.training._fine_tune.heads import attach_head
from keras_strategies.training._fine_tune.trainable_report import (
    TrainableReport,
    trainable_report,
)
from keras_strategies.training._fine_tune.two_phases import fine_tune

__all__ = [
    "FineTuneResult",
    "TrainableReport",
    "attach_head",
    "fine_tune",
    "freeze",
    "trainable_report",
    "unfreeze",
]
