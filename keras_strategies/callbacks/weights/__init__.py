"""Weights kept aside: averages, the best ones, the last finite ones."""

from keras_strategies.callbacks.weights.best_weights import BestWeights
from keras_strategies.callbacks.weights.nan_recovery import NaNRecovery
from keras_strategies.callbacks.weights.weight_averaging import WeightAveraging

__all__ = [
    "BestWeights",
    "NaNRecovery",
    "WeightAveraging",
]
