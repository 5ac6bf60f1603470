"""`sensitivity`: what each layer alone costs in few bits."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.metrics import metric_direction
from keras_strategies.export.artifact._scoring import Scorer
from keras_strategies.export.rescue import _layer_data
from keras_strategies.export.rescue._flat_copy import flat_copy
from keras_strategies.export.rescue._simulation import Simulation, relative_error
from keras_strategies.export.rescue.sensitivity_report import SensitivityReport


def sensitivity(
    model: keras.Model,
    data: Any,
    *,
    labels: Any = None,
    metric: Any = None,
    bits: Sequence[int] = (8,),
    per_channel: bool = True,
    activations: bool = True,
) -> SensitivityReport:
    """Measures for each layer what it costs alone in int8, or in fewer bits.

    Use it where int8 loses too much: usually a few layers are to blame. Leave these in
    float32 (`to_tflite(exclude=...)`), mend them, or let `report.choose` find the bits
    of each layer within a budget of loss or bytes. Weights and outputs of one layer at
    a time are rounded as the converter does, in a simulation on the backend in use;
    BatchNormalization is folded first, and an activation function that follows a layer
    belongs to it.

    The loss is the mean squared error of the model's outputs over their variance; with
    `labels` and `metric` it is by how much the metric gets worse, which needs many
    samples to be more than noise.

    Reference: Wu et al., "Integer quantization for deep learning inference: principles
    and empirical evaluation" (2020), section 4.2, https://arxiv.org/abs/2004.09602.

    Args:
        model: A built Functional or Sequential `keras.Model`. It is not changed.
        data: Inputs as in use, some hundred: an array, or a list or dict of arrays.
        labels: Targets of `data`, of a model with one output. Defaults to `None`.
        metric: A Keras metric or loss, or its name, given with `labels`. Defaults to
            `None`.
        bits: Numbers of bits of the weights to try, from 2 to 8. Defaults to `(8,)`.
        per_channel: Whether output channels have ranges of their own. Defaults to
            `True`.
        activations: Whether the outputs of layers are rounded to 8 bits too. Defaults
            to `True`.

    Returns:
        A `SensitivityReport`: `.rows` has one dict a layer, most sensitive first.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If an argument is out of its range, `data` does not fit, or the
            model cannot be rebuilt or has no layer to measure.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import export

    model = keras.Sequential([
        keras.Input((8,)),
        keras.layers.Dense(4, activation="relu"),
        keras.layers.Dense(2),
    ])
    report = export.sensitivity(model, np.random.rand(64, 8), bits=(8, 4))
    print(report)
    print(report.choose(max_bytes=100))
    ```
    """
    checks.instance("model", model, keras.Model)
    numbers = [checks.integer("bits", number, low=2, high=8) for number in bits]
    if not numbers or len(set(numbers)) < len(numbers):
        checks.fail("`bits` must have different numbers", bits=bits)
    if (labels is None) != (metric is None):
        checks.fail(
            "`labels` and `metric` must be given together",
            metric=metric,
            labels=None if labels is None else np.shape(labels),
        )
    checks.boolean("per_channel", per_channel)
    checks.boolean("activations", activations)
    _layer_data.check_data(model, data)
    flat = flat_copy(model)
    simulation = Simulation(flat, data, per_channel, activations)
    if not simulation.layers:
        checks.fail(
            "`model` must have a Dense or convolution layer",
            layers=[layer.name for layer in flat.layers],
        )
    simulation.set_bits({})
    expected = simulation.outputs(data)

    def lost(assignment: dict[str, int | None]) -> float:
        simulation.set_bits(assignment)
        outputs = simulation.outputs(data)
        if metric is None:
            return relative_error(outputs, expected)
        sign = 1 if metric_direction(metric) == "max" else -1
        scores = [_score(metric, labels, part) for part in (expected, outputs)]
        return sign * (scores[0] - scores[1])

    rows: list[dict[str, Any]] = [
        {
            "layer": layer.name,
            "type": type(layer).__name__,
            "parameters": math.prod(layer.kernel.shape),
        }
        for layer in simulation.layers
    ]
    for row in rows:
        for number in numbers:
            row[f"loss_{number}"] = lost({row["layer"]: number})
            row[f"bytes_{number}"] = math.ceil(row["parameters"] * number / 8)
    rows.sort(key=lambda row: row[f"loss_{numbers[0]}"], reverse=True)
    names = [layer.name for layer in simulation.layers]
    together = {number: lost(dict.fromkeys(names, number)) for number in numbers}
    unit = "relative squared error" if metric is None else f"worsening of {metric}"
    return SensitivityReport(rows, numbers, unit, together, _skipped(flat, names))


def _score(metric: Any, labels: Any, outputs: list[np.ndarray]) -> float:
    scorer = Scorer(metric, ["output"])
    made = outputs[0].astype("float32")
    scorer.update({"output": np.asarray(labels)}, {"output": made}, None)
    [value] = scorer.result().values()
    return float(value)


def _skipped(model, names):
    """Layers with matrices that were not measured, such as attention."""
    return [
        layer.name
        for layer in model.layers
        if layer.name not in names and any(len(w.shape) > 1 for w in layer.weights)
    ]
