"""Measurements of a training: gradients, speed, memory, progress."""

from keras_strategies.callbacks.monitors.gradient_monitor import GradientMonitor
from keras_strategies.callbacks.monitors.learning_rate_finder import LearningRateFinder
from keras_strategies.callbacks.monitors.memory_monitor import MemoryMonitor
from keras_strategies.callbacks.monitors.progress_bar import ProgressBar
from keras_strategies.callbacks.monitors.throughput_monitor import ThroughputMonitor

__all__ = [
    "GradientMonitor",
    "LearningRateFinder",
    "MemoryMonitor",
    "ProgressBar",
    "ThroughputMonitor",
]
