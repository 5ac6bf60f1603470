"""What is known of the data when a model is built."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_strategies.tuning.estimators import _features


def describe(
    X: _features.Inputs, y: np.ndarray, learned: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns what SciKeras gives a building function as `meta`, under its names.

    Args:
        X: Samples.
        y: Targets as they were given.
        learned: What the estimator has learned of the targets.
    """
    from sklearn.utils.multiclass import type_of_target

    by_name = isinstance(X, dict)
    about = {
        "X_shape_": {k: v.shape for k, v in X.items()} if by_name else X.shape,
        "X_dtype_": {k: v.dtype for k, v in X.items()} if by_name else X.dtype,
        "n_features_in_": len(X) if by_name else X.shape[1],
        "y_dtype_": y.dtype,
        "y_ndim_": y.ndim,
        "target_type_": learned.get("target_type_") or type_of_target(y),
        "n_outputs_": 1,
        "n_outputs_expected_": 1,
    }
    if "classes_" in learned:
        about["classes_"] = learned["classes_"]
        about["n_classes_"] = len(learned["classes_"])
    elif y.ndim > 1:
        about["n_outputs_"] = y.shape[1]
    return about
