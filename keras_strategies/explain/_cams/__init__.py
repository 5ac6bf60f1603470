"""Class activation maps."""

from keras_strategies.explain._cams.eigen import eigen_cam
from keras_strategies.explain._cams.find_layer import find_cam_layer
from keras_strategies.explain._cams.gradient_cams import (
    grad_cam,
    grad_cam_plus_plus,
    layer_cam,
)
from keras_strategies.explain._cams.score import score_cam

__all__ = [
    "eigen_cam",
    "find_cam_layer",
    "grad_cam",
    "grad_cam_plus_plus",
    "layer_cam",
    "score_cam",
]
