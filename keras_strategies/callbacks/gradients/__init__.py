"""Clipped and masked gradients."""

from keras_strategies.callbacks.gradients.gradient_clipping import GradientClipping
from keras_strategies.callbacks.gradients.gradual_unfreezing import GradualUnfreezing

__all__ = [
    "GradientClipping",
    "GradualUnfreezing",
]
