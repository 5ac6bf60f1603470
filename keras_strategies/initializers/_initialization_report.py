"""Report of activations and gradients of each layer before training."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import keras
from keras import ops

from keras_strategies._internal import checks
from keras_strategies._internal.reports import Column, Report
from keras_strategies._internal.select import layer_targets
from keras_strategies._internal.types import Tensors
from keras_strategies.initializers import _activation_statistics, _activations
from keras_strategies.initializers._layers import check_model, float_tensors

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class InitializationReport(Report):
    """The result of `initialization_report`: a table, a plot and warnings.

    Attributes:
        rows: One dict a layer, in the order of the calls: `layer` (its path), `mean`
            and `std` of its outputs, `gradient_mean`, `gradient_std` and
            `gradient_norm` (per sample) of the gradients, `activation` (`"?"` if it
            could not be determined), `initializer` (of the layer), `recommended`
            (`None` if the activation is unknown) and `notes`, a list.
        input_std: Standard deviation of the inputs of the model.
        output_norm: Norm per sample of the gradients at the outputs.
    """

    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("layer", left=True),
        Column("mean", form=".3g"),
        Column("std", form=".3g"),
        Column("gradient_mean", form=".3g"),
        Column("gradient_std", form=".3g"),
        Column("gradient_norm", form=".3g"),
        Column("activation", left=True),
        Column("initializer", left=True),
        Column("recommended", left=True),
        Column("notes", form=lambda notes: ", ".join(notes or ()), left=True),
    )

    def __init__(
        self, rows: list[dict[str, Any]], input_std: float, output_norm: float
    ) -> None:
        self.rows: list[dict[str, Any]] = rows
        self.input_std: float = input_std
        self.output_norm: float = output_norm

    @property
    def warnings(self) -> list[str]:
        """One line for each layer whose activations or gradients explode or vanish."""
        return [f"{row['layer']}: {note}" for row in self.rows for note in row["notes"]]

    def _shown_rows(self) -> Sequence[dict[str, Any]]:
        return [
            {"layer": "(inputs)", "std": self.input_std},
            *self.rows,
            {"layer": "(outputs)", "gradient_norm": self.output_norm},
        ]

    def _summary(self) -> dict[str, Any]:
        return {
            "input_std": self.input_std,
            "output_norm": self.output_norm,
            "warnings": self.warnings,
        }

    def _draw(self, ax: "Axes") -> None:
        """Draws both statistics over the layers, the first one on top."""
        positions = range(len(self.rows))
        series = (
            ("std", "std of activations", self.input_std, "#0b6e99"),
            ("gradient_norm", "norm of gradients", self.output_norm, "#c2571a"),
        )
        for key, label, reference, color in series:
            values = [row[key] for row in self.rows]
            ax.plot(values, positions, marker="o", color=color, label=label)
            # What it is compared with: the inputs, or the gradients at the outputs.
            ax.axvline(reference, color=color, linestyle=":", linewidth=1)
        ax.set_xscale("log")
        ax.set_yticks(positions, [row["layer"] for row in self.rows])
        ax.invert_yaxis()
        ax.legend()


def initialization_report(
    model: keras.Model, data: Tensors, limit: float = 100.0
) -> InitializationReport:
    """Measures how activations and gradients change from layer to layer.

    Call it on a built model before a long training, with a batch of the training data.
    Where activations or gradients shrink or grow from layer to layer, a deep network
    does not learn; the report shows where, and which initializer suits the activation
    that follows each layer: Glorot's for tanh, sigmoid, softmax and linear layers, He's
    for ReLU and related ones, LeCun's for SELU. `lsuv_init` sets the scales from data
    instead.

    The model is called as a training step does, with dropout and the statistics of the
    batch. Activations are the outputs of each layer with a kernel, after the activation
    that the layer itself applies. Gradients are with respect to the values before that
    activation, of

    ```
    sum over outputs of r * z
    ```

    with `z` the outputs of the model (before a final softmax or sigmoid) and `r`
    standard normal numbers, so that neither targets nor a loss are needed and all
    outputs have equal weight. A row has a note where the standard deviation of the
    activations or the norm of the gradients per sample is more than `limit` times, or
    less than `1 / limit` of, that of the inputs of the model, or of the gradients at
    its outputs. The model is not changed: no weight, moving statistic, random state or
    loss.

    Reference:

    - [Glorot and Bengio, 2010, Understanding the difficulty of training deep
      feedforward neural networks](https://proceedings.mlr.press/v9/glorot10a.html)
    - [He et al., 2015, Delving Deep into Rectifiers](https://arxiv.org/abs/1502.01852)
    - [Klambauer et al., 2017, Self-Normalizing Neural
      Networks](https://arxiv.org/abs/1706.02515)

    Args:
        model: A built `keras.Model` of any kind.
        data: A batch of inputs as the model takes them: an array or tensor, or a list
            or dict of such. About ten samples are enough.
        limit: Ratio from which activations or gradients explode or vanish, greater
            than 1. Defaults to `100.0`.

    Returns:
        An `InitializationReport`: `print(report)`, `report.warnings`, `report.rows`,
        `report.plot()`, `report.save_report("report.html")`.

    Raises:
        TypeError: If an argument is of the wrong type.
        ValueError: If `limit` is out of its range, if the model is not built or has
            no layer with a kernel that the outputs depend on.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import initializers

    stack = [keras.layers.Dense(64, activation="tanh") for _ in range(3)]
    model = keras.Sequential([keras.Input((32,)), *stack, keras.layers.Dense(10)])
    data = np.random.default_rng(0).normal(size=(64, 32))
    report = initializers.initialization_report(model, data)
    print(report)
    print(report.warnings)  # []
    ```
    """
    limit = checks.real("limit", limit, low=1, low_open=True)
    check_model(model)
    probe, statistics, at_outputs = _activation_statistics.measure(model, data)
    if not probe.calls:
        checks.fail("`model` must have layers with kernels", model=model.name)
    samples = statistics[0]["samples"]
    tensors = float_tensors(keras.tree.map_structure(ops.convert_to_tensor, data))
    at_inputs = _activation_statistics.moments_of(tensors)
    pooled = _activation_statistics.pooled
    report = InitializationReport(
        [],
        pooled(at_inputs)[1] if at_inputs else 1.0,
        pooled(at_outputs)[2] / math.sqrt(samples),
    )
    # A shared layer has several calls, and one row.
    by_layer: dict[int, list[Any]] = {}
    for call, moments in zip(probe.calls, statistics, strict=True):
        by_layer.setdefault(id(call["layer"]), []).append((call, moments))
    paths = {id(target.item): target.path for target in layer_targets(model)}
    for key, calls in by_layer.items():
        row = {"layer": paths[key], **_statistics(calls, probe, samples)}
        row["notes"] = _notes(row, report, limit)
        report.rows.append(row)
    return report


def _statistics(
    calls: list[Any], probe: _activation_statistics.Probe, samples: int
) -> dict[str, Any]:
    """Returns the statistics of a layer over all its calls."""
    pooled = _activation_statistics.pooled
    first_call = calls[0][0]
    layer = first_call["layer"]
    mean, std, _ = pooled([moments["activation"] for _, moments in calls])
    gradients = pooled([moments["gradient"] for _, moments in calls])
    own = getattr(layer, "activation", None)
    activation = _activations.name_of(own) if callable(own) else "linear"
    if activation == "linear":
        activation = _activations.following(
            first_call["output"], probe.consumers, probe.outputs
        )
    return {
        "mean": mean,
        "std": std,
        "gradient_mean": gradients[0],
        "gradient_std": gradients[1],
        "gradient_norm": gradients[2] / math.sqrt(samples),
        "activation": activation,
        "initializer": _activations.initializer_of(layer),
        "recommended": _activations.RECOMMENDED.get(activation),
    }


def _notes(
    row: dict[str, Any], report: InitializationReport, limit: float
) -> list[str]:
    pairs = [("gradients", row["gradient_norm"], report.output_norm)]
    if row["activation"] != "softmax":  # its outputs are small by definition
        pairs.insert(0, ("activations", row["std"], report.input_std or 1.0))
    notes = []
    for name, value, reference in pairs:
        if not value <= reference * limit:  # also true for NaN
            notes.append(f"{name} explode")
        elif value < reference / limit:
            notes.append(f"{name} vanish")
    return notes
