"""Why a model said that, on three backends, and how far the answer can be trusted.

Every explanation is a function of a model, inputs and a target that returns an array.
Attributions have the shape of the inputs; class activation maps have the height and
width of the images.
"""

from keras_strategies.explain._cams import (
    eigen_cam,
    find_cam_layer,
    grad_cam,
    grad_cam_plus_plus,
    layer_cam,
    score_cam,
)
from keras_strategies.explain._engine.region import Region
from keras_strategies.explain._engine.similarity import Similarity
from keras_strategies.explain._gradients import (
    grad_times_input,
    integrated_gradients,
    saliency,
    smooth_grad,
)

__all__ = [
    "Region",
    "Similarity",
    "eigen_cam",
    "find_cam_layer",
    "grad_cam",
    "grad_cam_plus_plus",
    "grad_times_input",
    "integrated_gradients",
    "layer_cam",
    "saliency",
    "score_cam",
    "smooth_grad",
]
