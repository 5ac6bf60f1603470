"""Which ranges a quantization-aware model has learned."""

import keras

from keras_strategies._internal import checks, quantized


class RangeReport:
    """The result of `range_report`: a table of what is quantized.

    Attributes:
        rows: One dict for each simulated quantization: `name` of the layer, `kind`
            (`"activation"` or `"weights"`), `bits`, and for activations `low`,
            `high` and `step` (the distance of two values), or `None` while no batch
            was seen.
    """

    def __init__(self, rows):
        self.rows = rows

    @property
    def unset(self):
        """Names of the activations that have seen no batch in training."""
        activations = [row for row in self.rows if row["kind"] == "activation"]
        return [row["name"] for row in activations if row["low"] is None]

    def __str__(self):
        width = max([len(row["name"]) for row in self.rows] + [5])
        lines = [
            f"{'layer':<{width}}  kind        bits        low       high      step"
        ]
        for row in self.rows:
            line = f"{row['name']:<{width}}  {row['kind']:<10}  {row['bits']:>4}"
            if row["kind"] == "activation":
                line += _figures(row)
            lines.append(line)
        return "\n".join(lines)


def range_report(model):
    """Lists the ranges that a quantization-aware model has learned.

    Use it to see whether ranges are sensible: one outlier that widens a range makes
    all other values coarse, since `step = (high - low) / 255`.

    Args:
        model: A model from `quantize_aware`, or loaded from its `.keras` file.

    Returns:
        A `RangeReport`: `.rows` has one dict for each layer, `.unset` the names of
        those without a range, and `print(report)` shows a table.

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


def _figures(row):
    if row["low"] is None:
        return "  no batch seen"
    return "".join(f" {row[key]:>10.4g}" for key in ("low", "high", "step"))


def _row(entry):
    row = {"name": entry["name"], "kind": entry["kind"], "bits": entry["bits"]}
    if entry["kind"] == "activation":
        low, high = entry["range"] or (None, None)
        step = None if low is None else (high - low) / (2 ** entry["bits"] - 1)
        row |= {"low": low, "high": high, "step": step}
    return row
