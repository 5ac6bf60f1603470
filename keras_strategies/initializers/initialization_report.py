"""How signals and gradients pass through a model before it is trained."""

import math

import keras
from keras import ops

from keras_strategies._internal import checks
from keras_strategies.initializers import _activations, _signals
from keras_strategies.initializers._layers import check_model, float_tensors


class InitializationReport:
    """The result of `initialization_report`: a table and warnings.

    Attributes:
        rows: One dict a layer, in the order of the calls: `layer` (its path), `mean`
            and `std` of its outputs, `gradient_mean`, `gradient_std` and
            `gradient_norm` (per sample) of the gradients, `activation` (`"?"` if it
            was not found), `initializer` (what the layer has), `recommended` (`None`
            if the activation is not known) and `notes`, a list.
        input_std: Standard deviation of the inputs of the model.
        output_norm: Norm per sample of the gradients at the outputs.
        warnings: One line for each layer where something explodes or vanishes.
    """

    def __init__(self, rows, input_std, output_norm):
        self.rows = rows
        self.input_std = input_std
        self.output_norm = output_norm

    @property
    def warnings(self):
        return [f"{row['layer']}: {note}" for row in self.rows for note in row["notes"]]

    def table(self):
        """The rows as text, with the inputs above and the outputs below."""
        heads = ("mean", "std", "grad mean", "grad std", "grad norm")
        keys = ("mean", "std", "gradient_mean", "gradient_std", "gradient_norm")
        width = max(len(row["layer"]) for row in self.rows)
        width = max(width, len("(outputs)"))
        lines = [
            f"{'layer':<{width}}" + "".join(f"{head:>11}" for head in heads) + "  "
            f"{'activation':<12}{'initializer':<18}recommended",
            f"{'(inputs)':<{width}}{'':>11}{self.input_std:>11.3g}",
        ]
        for row in self.rows:
            cells = "".join(f"{row[key]:>11.3g}" for key in keys)
            line = f"{row['layer']:<{width}}{cells}  {row['activation']:<12}"
            line += f"{row['initializer']:<18}{row['recommended'] or '-'}"
            lines.append(line + "".join(f"  <- {note}" for note in row["notes"]))
        lines.append(f"{'(outputs)':<{width}}{'':>44}{self.output_norm:>11.3g}")
        return "\n".join(lines)

    def __str__(self):
        return self.table()


def initialization_report(model, batch, limit=100.0):
    """Measures whether signals and gradients survive the way through a model.

    Call it on a built model before a long training, with a batch of the training
    data. Where activations or gradients shrink or grow from layer to layer, a deep
    network does not learn; the report says where, and which initializer suits the
    activation that follows each layer: Glorot's for tanh, sigmoid, softmax and linear
    layers, He's for ReLU and its relatives, LeCun's for SELU. `lsuv_init` sets the
    scales from data instead.

    The model is called the way a training step does, with dropout and statistics of
    the batch. Activations are the outputs of each layer with a kernel, with the
    activation that it applies itself. Gradients are by the values before that
    activation, of

    ```
    sum over outputs of r * z
    ```

    with `z` the outputs of the model (before a last softmax or sigmoid) and `r`
    standard normal numbers, so that no targets and no loss are needed and every
    output is as important. A row has a note where the standard deviation of the
    activations or the norm of the gradients per sample is more than `limit` times, or
    less than `1 / limit` of, that of the inputs of the model, or of the gradients at
    its outputs. Nothing of the model is changed: no weight, moving statistic, random
    state or loss.

    Reference:

    - [Glorot and Bengio, 2010, Understanding the difficulty of training deep
      feedforward neural networks](https://proceedings.mlr.press/v9/glorot10a.html)
    - [He et al., 2015, Delving Deep into Rectifiers](https://arxiv.org/abs/1502.01852)
    - [Klambauer et al., 2017, Self-Normalizing Neural
      Networks](https://arxiv.org/abs/1706.02515)

    Args:
        model: A built `keras.Model` of any kind.
        batch: Inputs as the model takes them: an array or tensor, or a list or dict
            of such. Some ten samples are enough.
        limit: Ratio from which something explodes or vanishes, greater than 1.
            Defaults to `100.0`.

    Returns:
        An `InitializationReport`: `print(report.table())`, `report.warnings`,
        `report.rows`.

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
    batch = np.random.default_rng(0).normal(size=(64, 32))
    report = initializers.initialization_report(model, batch)
    print(report.table())
    print(report.warnings)  # []
    ```
    """
    limit = checks.real("limit", limit, low=1, low_open=True)
    check_model(model)
    probe, statistics, at_outputs = _signals.measure(model, batch)
    if not probe.calls:
        checks.fail("`model` must have layers with kernels", model=model.name)
    samples = statistics[0]["samples"]
    inputs = _signals.moments_of(float_tensors(_tensors(batch)))
    report = InitializationReport(
        [],
        _signals.pooled(inputs)[1] if inputs else 1.0,
        _signals.pooled(at_outputs)[2] / math.sqrt(samples),
    )
    by_layer = {}
    for call, found in zip(probe.calls, statistics, strict=True):
        by_layer.setdefault(id(call["layer"]), []).append((call, found))
    for calls in by_layer.values():
        row = _row(calls, probe, samples)
        row["notes"] = _notes(row, report, limit)
        report.rows.append(row)
    return report


def _tensors(batch):
    return keras.tree.map_structure(ops.convert_to_tensor, batch)


def _row(calls, probe, samples):
    """The statistics of a layer over all its calls."""
    first = calls[0][0]
    layer = first["layer"]
    mean, std, _ = _signals.pooled([found["activation"] for _, found in calls])
    of_gradients = _signals.pooled([found["gradient"] for _, found in calls])
    own = getattr(layer, "activation", None)
    activation = _activations.name_of(own) if callable(own) else "linear"
    if activation == "linear":
        activation = _activations.following(first["output"], probe.users, probe.outputs)
    return {
        "layer": layer.path,
        "mean": mean,
        "std": std,
        "gradient_mean": of_gradients[0],
        "gradient_std": of_gradients[1],
        "gradient_norm": of_gradients[2] / math.sqrt(samples),
        "activation": activation,
        "initializer": _activations.initializer_of(layer),
        "recommended": _activations.RECOMMENDED.get(activation),
    }


def _notes(row, report, limit):
    pairs = [("gradients", row["gradient_norm"], report.output_norm)]
    if row["activation"] != "softmax":  # small by nature, however healthy
        pairs.insert(0, ("activations", row["std"], report.input_std or 1.0))
    notes = []
    for name, value, reference in pairs:
        if not value <= reference * limit:  # NaN too
            notes.append(f"{name} explode")
        elif value < reference / limit:
            notes.append(f"{name} vanish")
    return notes
