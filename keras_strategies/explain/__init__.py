"""Why a model said that, on three backends, and how far the answer can be trusted.

Every explanation is a function of a model, inputs and a target that returns an array.
Attributions have the shape of the inputs; class activation maps have the height and
width of the images.
"""

from keras_strategies.explain._calibration import (
    CalibrationReport,
    calibration,
    temperature_scaling,
)
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
from keras_strategies.explain._evaluation import FaithfulnessReport, evaluate
from keras_strategies.explain._gradients import (
    grad_times_input,
    integrated_gradients,
    saliency,
    smooth_grad,
)
from keras_strategies.explain._perturbations import (
    PermutationReport,
    kernel_shap,
    occlusion,
    permutation_importance,
    rise,
)
from keras_strategies.explain._pictures import (
    ExplanationCallback,
    overlay,
    plot_attributions,
)
from keras_strategies.explain._sequences import attention_rollout, token_attributions

__all__ = [
    "CalibrationReport",
    "ExplanationCallback",
    "FaithfulnessReport",
    "PermutationReport",
    "Region",
    "Similarity",
    "attention_rollout",
    "calibration",
    "eigen_cam",
    "evaluate",
    "find_cam_layer",
    "grad_cam",
    "grad_cam_plus_plus",
    "grad_times_input",
    "integrated_gradients",
    "kernel_shap",
    "layer_cam",
    "occlusion",
    "overlay",
    "permutation_importance",
    "plot_attributions",
    "rise",
    "saliency",
    "score_cam",
    "smooth_grad",
    "temperature_scaling",
    "token_attributions",
]
