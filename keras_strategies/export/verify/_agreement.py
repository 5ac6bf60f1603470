"""Agreement of an artifact's outputs with the Keras model's (NumPy only)."""

from collections.abc import Mapping
from typing import Any

import numpy as np

# Quantization -> (lowest agreement that passes, tolerance of values relative to
# the range of the Keras output). See the table in `to_tflite`.
DEFAULTS = {
    "float32": (0.99, 1e-3),
    "float16": (0.99, 1e-2),
    "dynamic": (0.95, 0.1),
    "int8": (0.95, 0.15),
    "int16x8": (0.95, 0.1),
    "int4_weights": (0.9, 0.25),
}


def is_distribution(values: np.ndarray) -> bool:
    """Whether the last axis of `values` holds class probabilities."""
    if values.ndim < 2 or values.shape[-1] < 2 or values.dtype.kind != "f":
        return False
    in_unit_interval = values.min() >= -1e-3 and values.max() <= 1 + 1e-3
    return bool(in_unit_interval and np.abs(values.sum(axis=-1) - 1).max() <= 1e-2)


def value_scale(reference: np.ndarray) -> float:
    """Returns the scale that differences of a value output are relative to.

    The range of the reference over all samples, but no less than 1 % of its
    largest magnitude; the magnitude itself if there is a single value.
    """
    low, high = float(reference.min()), float(reference.max())
    magnitude = max(abs(low), abs(high))
    if reference.size < 2:
        return magnitude or 1.0
    return max(high - low, 0.01 * magnitude) or 1.0


def compare_output(
    reference: np.ndarray,
    actual: np.ndarray,
    tolerance: float,
    classes: bool | None = None,
) -> dict[str, Any]:
    """Compares one output, samples first; both must be finite.

    Top-1: the fraction of positions whose largest entry is at the same index.
    Values: the fraction of samples whose largest absolute difference is at most
    `tolerance` times `value_scale(reference)`. Integer and boolean outputs must be
    equal.

    Args:
        reference: The Keras output.
        actual: The artifact's output, same shape.
        tolerance: Relative tolerance of values.
        classes: `True` compares top-1 in any case; `None` decides by
            `is_distribution`.
    """
    # Integers and booleans have no rounding, so there is nothing to tolerate.
    is_exact = reference.dtype.kind not in "f"
    reference = reference.astype("float64")
    actual = actual.astype("float64")
    difference = np.abs(reference - actual)
    if is_exact:
        classes = False
    elif classes is None:
        classes = is_distribution(reference)
    if classes:
        agrees = reference.argmax(axis=-1) == actual.argmax(axis=-1)
    else:
        tolerance = 0.0 if is_exact else tolerance
        largest = difference.reshape(len(difference), -1).max(axis=1, initial=0.0)
        agrees = largest <= tolerance * value_scale(reference)
    return {
        "kind": "top-1" if classes else "values",
        "agreement": float(agrees.mean()),
        "max_difference": float(difference.max(initial=0.0)),
        "mean_difference": float(difference.mean()),
        "tolerance": None if classes else tolerance,
    }


def non_finite(outputs: Mapping[str, np.ndarray]) -> list[str]:
    """Returns the names of the outputs that hold NaN or infinity.

    A test of its own: comparisons such as `max(0, nan)` hide them.
    """
    return [
        name
        for name, values in outputs.items()
        if values.dtype.kind == "f" and not np.isfinite(values).all()
    ]
