"""Optimizers and gradient transforms that Keras does not ship.

`GradientTransform` wraps any Keras optimizer and applies transforms to the gradients,
such as `AdaptiveClip`, `Centralize` and `Freeze`. `RAdam` and `AdaBelief` are
optimizers of their own, `Lookahead` wraps an optimizer and `SharpnessAware` a model.
"""

from keras_strategies.optimizers.ada_belief import AdaBelief
from keras_strategies.optimizers.adaptive_clip import AdaptiveClip
from keras_strategies.optimizers.add_noise import AddNoise
from keras_strategies.optimizers.centralize import Centralize
from keras_strategies.optimizers.freeze import Freeze
from keras_strategies.optimizers.gradient_transform import GradientTransform
from keras_strategies.optimizers.layerwise_decay import LayerwiseDecay
from keras_strategies.optimizers.learning_rate_multipliers import (
    LearningRateMultipliers,
)
from keras_strategies.optimizers.lookahead import Lookahead
from keras_strategies.optimizers.percentile_clip import PercentileClip
from keras_strategies.optimizers.radam import RAdam
from keras_strategies.optimizers.sharpness_aware import SharpnessAware
from keras_strategies.optimizers.skip_large_updates import SkipLargeUpdates
from keras_strategies.optimizers.transform import Transform
from keras_strategies.optimizers.zero_non_finite import ZeroNonFinite

__all__ = [
    "AdaBelief",
    "AdaptiveClip",
    "AddNoise",
    "Centralize",
    "Freeze",
    "GradientTransform",
    "LayerwiseDecay",
    "LearningRateMultipliers",
    "Lookahead",
    "PercentileClip",
    "RAdam",
    "SharpnessAware",
    "SkipLargeUpdates",
    "Transform",
    "ZeroNonFinite",
]
