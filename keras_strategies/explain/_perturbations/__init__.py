"""Explanations by changed inputs, without gradients."""

from keras_strategies.explain._perturbations.occlusion import occlusion
from keras_strategies.explain._perturbations.permutation_report import (
    PermutationReport,
    permutation_importance,
)
from keras_strategies.explain._perturbations.rise import rise
from keras_strategies.explain._perturbations.shap_values import kernel_shap

__all__ = [
    "PermutationReport",
    "kernel_shap",
    "occlusion",
    "permutation_importance",
    "rise",
]
