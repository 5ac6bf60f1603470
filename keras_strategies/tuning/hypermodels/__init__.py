"""Hypermodels: search spaces of models that need no build function."""

from keras_strategies.tuning.hypermodels.networks import (
    HyperCNN,
    HyperMLP,
    HyperResNet,
    HyperRNN,
    HyperTransferLearning,
    HyperTransformer,
)
from keras_strategies.tuning.hypermodels.variations import (
    HyperActivation,
    HyperAugment,
    HyperCompression,
    HyperInitializer,
    HyperOptimizer,
    HyperRegularization,
    HyperSchedule,
    tune_model,
)

__all__ = [
    "HyperActivation",
    "HyperAugment",
    "HyperCNN",
    "HyperCompression",
    "HyperInitializer",
    "HyperMLP",
    "HyperOptimizer",
    "HyperRNN",
    "HyperRegularization",
    "HyperResNet",
    "HyperSchedule",
    "HyperTransferLearning",
    "HyperTransformer",
    "tune_model",
]
