"""Batches and targets transformed inside the training step."""

from keras_strategies.callbacks.data.label_smoothing_scheduler import (
    LabelSmoothingScheduler,
)
from keras_strategies.callbacks.data.progressive_resizing import ProgressiveResizing
from keras_strategies.callbacks.data.sequence_length_warmup import SequenceLengthWarmup

__all__ = [
    "LabelSmoothingScheduler",
    "ProgressiveResizing",
    "SequenceLengthWarmup",
]
