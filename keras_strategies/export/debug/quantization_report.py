"""Which layers int8 hurts, measured."""

import dataclasses
import os
import pathlib

from keras_strategies._internal import checks
from keras_strategies._internal.optional import require
from keras_strategies.export.debug import _diagnosis

_SOUND, _ALARM = "#0b6e99", "#c0392b"


@dataclasses.dataclass(frozen=True)
class QuantizationReport:
    """The error that int8 brings into every layer, worst first.

    Returned by `export.debug_quantization`. Printing it, or `table()`, shows the
    layers and what to do about the bad ones; `plot()` draws them. Of an operation
    with values `x` and int8 values `q`, over all samples:

    - error: `rmse = sqrt(mean((q - x)^2))`, also in steps of the int8 scale, where
      rounding alone gives `1 / sqrt(12) = 0.289`;
    - ratio of signal to noise: `SQNR = 10 log10(sum(x^2) / sum((q - x)^2))` in dB.
      About 40 is usual, below 20 the error is a tenth of the signal: an alarm.

    Both are the operation's own ("local"): it gets the int8 inputs in either
    arithmetic. "Cumulative" figures compare with the float32 model and so include
    the layers before. Rows are ordered by the lower of two local ratios, of all
    values and of the median channel: beside one huge channel the others may be lost
    while the overall ratio looks well.

    Reference: [TensorFlow's quantization
    debugger](https://ai.google.dev/edge/litert/conversion/tensorflow/quantization/quantization_debugger).

    Args:
        rows: One dict for each int8 operation: `layer`, `layers` (all that are fused
            into it), `readers` (the layers that use its output), `op`, `tensor`,
            `shape`, `range` and `bulk` (of all and of the middle 99.9 % of the
            float32 values), `scale`, `zero_point`, `rmse`, `rmse_scale`,
            `max_error`, `sqnr_db`, `channel_sqnr_db`, `cumulative_rmse`,
            `cumulative_sqnr_db`, `cumulative_channel_sqnr_db`, `channel` (the
            widest), `channel_ratio` (its range by the median one),
            `channel_levels` (of 256, in the median channel),
            `sample_ratio` (largest magnitude by the mean of the samples' largest),
            `weight_ratio` (largest weight of a channel by its 99th percentile),
            `alarm`, `cause` and `fix`. Ratios end at 120 dB, for no error.
        sensitivity: One dict for each of the worst layers, largest gain first:
            `float_layers` left in float32 bring the `agreement` and the `error`
            given, a change of `agreement_gain`, and of the error to
            `error_ratio` of what it was.
        agreement: Of the int8 model with the float32 model, in [0, 1], the lowest
            over the outputs, as in `to_tflite`.
        error: Root mean square difference of the outputs by their range.
        outputs: Output name -> figures, as in `ExportResult`.
        samples: Number of samples that were measured.
        calibration: How the ranges were found: `method`, `samples`, `moving` (share
            of the tensors whose range still moved), `settled`.
        bytes: Size of the int8 artifact.
        seconds: Wall time.
        warnings: Sentences on what else to know.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import export

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, name="head")])
    features = np.random.default_rng(0).normal(size=(64, 8))
    report = export.debug_quantization(model, features)
    print(report.worst(1)[0]["layer"], report.agreement)
    ```
    """

    rows: tuple
    sensitivity: tuple
    agreement: float
    error: float
    outputs: dict
    samples: int
    calibration: dict
    bytes: int
    seconds: float
    warnings: tuple = ()

    def worst(self, n=5):
        """Returns the `n` worst rows as a list."""
        checks.integer("n", n, low=1)
        return list(self.rows[:n])

    def table(self, limit=20):
        """Returns the worst `limit` rows as text, then the causes and fixes."""
        checks.integer("limit", limit, low=1)
        heads = "layer|op|shape|range|scale|SQNR|channel|summed|rmse/scale|max error"
        lines = [heads.split("|"), *map(_cells, self.rows[:limit])]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
        if len(self.rows) > limit:
            text.append(f"... {len(self.rows) - limit} more")
        return "\n".join([*text, "", *self._verdict(limit)])

    def _verdict(self, limit):
        alarms = [row for row in self.rows if row["alarm"]]
        yield (
            f"agreement {self.agreement:.4f}, output error {self.error:.3g} of the "
            f"range, on {self.samples} samples"
        )
        if not alarms:
            yield f"No layer is below {_diagnosis.ALARM_DB:g} dB."
        for row in alarms[:limit]:
            yield f"{row['layer'] or row['tensor']}: {row['cause']} {row['fix']}"
        for entry in self.sensitivity if alarms else ():
            if entry["error_ratio"] > 0.95:
                continue
            yield (
                f"float32 for {', '.join(entry['float_layers'])}: agreement "
                f"{entry['agreement']:.4f} ({entry['agreement_gain']:+.4f}), error x"
                f"{entry['error_ratio']:.2f}"
            )
        yield from (f"warning: {text}" for text in self.warnings)

    def plot(self, path=None, limit=20):
        """Draws the worst `limit` rows as bars; returns the Matplotlib figure.

        Args:
            path: File to write, ending in .png, .svg or .pdf. Defaults to `None`.
            limit: Number of rows. Defaults to 20.
        """
        checks.integer("limit", limit, low=1)
        if path is not None:
            checks.instance("path", path, (str, os.PathLike))
            suffix = pathlib.Path(path).suffix.lower()
            if suffix not in (".png", ".svg", ".pdf"):
                checks.fail("`path` must end in .png, .svg or .pdf", path=str(path))
        figure_module = require("matplotlib.figure", "`QuantizationReport.plot`")
        rows = [row for row in self.rows if row["sqnr_db"] < 120][:limit]
        size = (8, 1.4 + 0.28 * len(rows))
        figure = figure_module.Figure(figsize=size, layout="constrained")
        _draw(figure, rows)
        if path is not None:
            figure.savefig(path, dpi=110)
        return figure

    def to_dict(self):
        """Returns every figure as a dict of JSON-ready values."""
        values = dataclasses.asdict(self)
        return values | {
            key: list(values[key]) for key in ("rows", "sensitivity", "warnings")
        }

    def __str__(self):
        return self.table()


def _cells(row):
    shape = ", ".join("?" if size is None else str(size) for size in row["shape"])
    low, high = row["range"]
    return [
        ("! " if row["alarm"] else "  ") + (row["layer"] or row["tensor"])[-40:],
        row["op"].lower(),
        f"({shape})",
        f"{low:.3g} .. {high:.3g}",
        f"{row['scale']:.3g}",
        *(f"{row[key]:.1f}" for key in ("sqnr_db", "channel_sqnr_db")),
        f"{_diagnosis.summed(row):.1f}",
        f"{row['rmse_scale']:.2f}",
        f"{row['max_error']:.3g}",
    ]


def _draw(figure, rows):
    axis = figure.subplots()
    places = range(len(rows))
    # A bar of nothing would not be seen.
    values = [max(_diagnosis.score(row), 0.3) for row in rows]
    colours = [_ALARM if row["alarm"] else _SOUND for row in rows]
    axis.barh(places, values, color=colours)
    summed = [max(_diagnosis.summed(row), 0.0) for row in rows]
    style = {"markersize": 6, "markerfacecolor": "white", "markeredgecolor": "black"}
    limit = _diagnosis.ALARM_DB
    axis.axvline(limit, color=_ALARM, linewidth=1, linestyle="--")
    axis.plot(summed, places, "D", **style, label="with all layers before it")
    for colour, name in ((_SOUND, "its own error"), (_ALARM, "alarm")):
        axis.barh([0], [0], color=colour, label=name)
    names = [
        f"{(row['layer'] or row['tensor'])[-32:]} ({row['op'].lower()})" for row in rows
    ]
    axis.set_yticks(places, names, fontsize=8)
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.set_xlim(left=0)
    axis.set_xlabel("signal to quantization noise (dB), worst first")
    axis.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper right", ncols=3, fontsize=8, frameon=False)
