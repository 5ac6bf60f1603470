"""Attributions by gradients with respect to the inputs."""

from keras_strategies.explain._gradients.integrated import integrated_gradients
from keras_strategies.explain._gradients.plain import grad_times_input, saliency
from keras_strategies.explain._gradients.smooth import smooth_grad

__all__ = ["grad_times_input", "integrated_gradients", "saliency", "smooth_grad"]
