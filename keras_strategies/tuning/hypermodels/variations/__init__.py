"""Hypermodels that vary a compiled model: its layers and its training."""

from keras_strategies.tuning.hypermodels.variations._tune_model import tune_model
from keras_strategies.tuning.hypermodels.variations.hyper_activation import (
    HyperActivation,
)
from keras_strategies.tuning.hypermodels.variations.hyper_augment import HyperAugment
from keras_strategies.tuning.hypermodels.variations.hyper_compression import (
    HyperCompression,
)
from keras_strategies.tuning.hypermodels.variations.hyper_initializer import (
    HyperInitializer,
)
from keras_strategies.tuning.hypermodels.variations.hyper_optimizer import (
    HyperOptimizer,
)
from keras_strategies.tuning.hypermodels.variations.hyper_regularization import (
    HyperRegularization,
)
from keras_strategies.tuning.hypermodels.variations.hyper_schedule import (
    HyperSchedule,
)

__all__ = [
    "HyperActivation",
    "HyperAugment",
    "HyperCompression",
    "HyperInitializer",
    "HyperOptimizer",
    "HyperRegularization",
    "HyperSchedule",
    "tune_model",
]
