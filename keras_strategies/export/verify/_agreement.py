"""Agreement of an artifact's outputs with the Keras model's (NumPy only).

A plain count that explains a verdict, and that `min_agreement` sets a bound to.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_strategies.export.verify._measure import as_rows
from keras_strategies.export.verify._output_kinds import Span, num_channels

# Meaning -> what the agreement counts.
_COUNTED_BY = {
    "probabilities": "top-1",
    "logits": "top-1",
    "binary_probabilities": "yes or no",
    "binary_logits": "yes or no",
    "regression": "values",
    "embedding": "values",
    "integer": "equal",
}


def channel_scales(reference: np.ndarray) -> np.ndarray:
    """Returns the scale of each channel that differences of values are relative to.

    Its range over all samples, but no less than 1 % of its largest magnitude; the
    magnitude itself if there is a single value.

    Args:
        reference: Values, (positions, channels).
    """
    low, high = reference.min(axis=0), reference.max(axis=0)
    magnitude = np.maximum(np.abs(low), np.abs(high))
    scale = magnitude
    if len(reference) > 1:
        scale = np.maximum(high - low, 0.01 * magnitude)
    return np.where(scale > 0, scale, 1.0)


def compare_output(
    reference: np.ndarray,
    actual: np.ndarray,
    spans: Sequence[Span],
    tolerance: float,
    rounding: float = 0.0,
) -> dict[str, Any]:
    """Compares one output, samples first; both must be finite.

    Positions are the samples, or the pixels or steps of all samples. Classes: the
    fraction of positions with the same top-1 class; a position does not count as
    different where the model itself cannot decide, its two largest entries
    being within `rounding` of the range. Yes or no: the fraction of equal answers.
    Values: the fraction of positions of which every channel differs by at most
    `tolerance` times its scale. Integers: the fraction of equal elements. The lowest
    over the spans counts.

    Args:
        reference: The Keras output.
        actual: The artifact's output, same shape.
        spans: What the channels mean.
        tolerance: Relative tolerance of values.
        rounding: Relative rounding of class scores. Defaults to 0.
    """
    channels = num_channels(reference)
    keras_rows, rows = as_rows(reference, channels), as_rows(actual, channels)
    agreements = []
    for span in spans:
        columns = slice(span.start, span.stop)
        pair = keras_rows[:, columns], rows[:, columns]
        agreements.append(_agreement(*pair, span.kind, tolerance, rounding))
    difference = np.abs(keras_rows - rows)
    has_values = any(_COUNTED_BY[span.kind] == "values" for span in spans)
    ways = {_COUNTED_BY[span.kind] for span in spans}
    return {
        "kind": ways.pop() if len(ways) == 1 else "mixed",
        "agreement": min(agreements),
        "max_difference": float(difference.max(initial=0.0)),
        "mean_difference": float(difference.mean()),
        "tolerance": tolerance if has_values else None,
    }


def _agreement(reference, actual, kind, tolerance, rounding):
    if kind == "integer":
        return float((reference == actual).mean())
    if kind in ("probabilities", "logits"):
        agrees = reference.argmax(axis=1) == actual.argmax(axis=1)
        if reference.shape[1] > 1:
            second, first = np.partition(reference, -2, axis=1)[:, -2:].T
            agrees |= first - second <= rounding * float(np.ptp(reference))
        return float(agrees.mean())
    if kind.startswith("binary"):
        middle = 0.0 if kind == "binary_logits" else 0.5
        agrees = (reference > middle) == (actual > middle)
        agrees |= np.abs(reference - middle) <= rounding * float(np.ptp(reference))
        return float(agrees.mean())
    within = np.abs(reference - actual) <= tolerance * channel_scales(reference)
    return float(within.all(axis=1).mean())


def relative_error(reference: np.ndarray, actual: np.ndarray) -> float:
    """Returns the root mean square difference by the range of the output."""
    scale = float(np.ptp(reference)) or float(np.abs(reference).max()) or 1.0
    difference = reference.astype("float64") - actual
    return float(np.sqrt(np.mean(np.square(difference)))) / scale


def non_finite(outputs: Mapping[str, np.ndarray]) -> list[str]:
    """Returns the names of the outputs that hold NaN or infinity.

    A test of its own: comparisons such as `max(0, nan)` hide them.
    """
    return [
        name
        for name, values in outputs.items()
        if values.dtype.kind == "f" and not np.isfinite(values).all()
    ]
