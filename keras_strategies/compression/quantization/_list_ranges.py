"""`range_report`: ranges of a quantization-aware model, listed."""

from collections.abc import Mapping
from typing import Any

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.weights import quantized
from keras_strategies.compression.quantization.range_report import RangeReport


def range_report(model: keras.Model) -> RangeReport:
    """Lists the ranges that a quantization-aware model has learned.

    Use it to see whether ranges are plausible: one outlier that widens a range makes
    all other values coarse, since `step = (high - low) / 255`.

    Args:
        model: A model from `quantize_aware`, or loaded from its `.keras` file.

    Returns:
        A `RangeReport`: `.rows` has one dict for each layer, `.unset` the names of
        those without a range, and `print(report)` shows a table, `.plot()` a picture.

    Raises:
        ValueError: If the model simulates no quantization.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import compression

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    aware = compression.quantize_aware(model)
    aware(np.ones((2, 8)), training=True)
    print(compression.range_report(aware))
    ```
    """
    checks.instance("model", model, keras.Model)
    entries = quantized.simulated(model)
    if not entries:
        checks.fail(
            "`model` must simulate quantization",
            fix="Make it with `quantize_aware(model)`.",
            model=model.name,
        )
    return RangeReport([_row(entry) for entry in entries])


def _row(entry: Mapping[str, Any]) -> dict[str, Any]:
    row = {"name": entry["name"], "kind": entry["kind"], "bits": entry["bits"]}
    if entry["kind"] == "activation":
        low, high = entry["range"] or (None, None)
        step = None if low is None else (high - low) / (2 ** entry["bits"] - 1)
        row |= {"low": low, "high": high, "step": step}
    return row
