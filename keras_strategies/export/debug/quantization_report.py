"""Errors of int8 in each layer, measured."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from keras_strategies._internal import checks
from keras_strategies._internal.reports import Column, text_table
from keras_strategies.export._common import DataclassReport
from keras_strategies.export.debug import _diagnosis
from keras_strategies.export.verify.output_verdict import OutputVerdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SOUND_COLOR, _ALARM_COLOR = "#0b6e99", "#c0392b"
_NUM_SHOWN = 20
# A layer in float32 is mentioned if it reduces the output error by more than 5 %.
_NOTABLE_RATIO = 0.95


@dataclasses.dataclass(frozen=True)
class QuantizationReport(DataclassReport):
    """Errors that int8 causes in every layer, worst first.

    Returned by `export.debug_quantization`. Printing it, or `table()`, shows the
    layers and the fixes for the bad ones; `plot()` draws them; `save_report()` writes
    a page. For an operation with values `x` and int8 values `q`, over all samples:

    - error: `rmse = sqrt(mean((q - x)^2))`, also in steps of the int8 scale, where
      rounding alone gives `1 / sqrt(12) = 0.289`;
    - ratio of signal to noise: `SQNR = 10 log10(sum(x^2) / sum((q - x)^2))` in dB.
      About 40 is usual, below 20 the error is a tenth of the signal: an alarm.

    Both are the operation's own ("local"): it gets the int8 inputs in either
    arithmetic. "Cumulative" figures compare with the float32 model and so include
    the layers before. Rows are ordered by the lower of two local ratios, of all
    values and of the median channel: beside one huge channel the others may be lost
    while the overall ratio is high.

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
        calibration: How the ranges were computed: `method`, `samples`, `moving`
            (fraction of the tensors whose range still moved), `settled`.
        bytes: Size of the int8 artifact.
        seconds: Wall time.
        warnings: Sentences to read before relying on the figures.
        verdicts: Output name -> `OutputVerdict` of the whole int8 file, as `to_tflite`
            would give it.
        verified_on: What the samples of the verdicts are.

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

    rows: tuple[dict[str, Any], ...]
    sensitivity: tuple[dict[str, Any], ...]
    agreement: float
    error: float
    outputs: dict[str, Any]
    samples: int
    calibration: dict[str, Any] | None
    bytes: int
    seconds: float
    warnings: tuple[str, ...] = ()
    verdicts: dict[str, OutputVerdict] = dataclasses.field(default_factory=dict)
    verified_on: str = ""

    @property
    def passed(self) -> bool:
        """Whether every output of the int8 file passed."""
        return all(verdict.passed for verdict in self.verdicts.values())

    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("name", title="layer", left=True),
        Column("op", form=str.lower, left=True),
        Column("shape", form=lambda shape: f"({_shape_text(shape)})", left=True),
        Column("range", form=lambda ends: f"{ends[0]:.3g} .. {ends[1]:.3g}", left=True),
        Column("scale", form=".3g"),
        Column("sqnr_db", title="SQNR", form=".1f"),
        Column("channel_sqnr_db", title="channel", form=".1f"),
        Column("cumulative", form=".1f"),
        Column("rmse_scale", title="rmse/scale", form=".2f"),
        Column("max_error", title="max error", form=".3g"),
    )

    def worst(self, n: int = 5) -> list[dict[str, Any]]:
        """Returns the `n` worst rows as a list."""
        checks.integer("n", n, low=1)
        return list(self.rows[:n])

    def table(self, limit: int = _NUM_SHOWN) -> str:
        """Returns the worst `limit` rows as text, then the causes and fixes."""
        checks.integer("limit", limit, low=1)
        lines = [text_table(*self._cells(self._table_rows(limit)))]
        if len(self.rows) > limit:
            lines.append(f"... {len(self.rows) - limit} more")
        return "\n".join([*lines, "", *self._verdict(limit)])

    def _columns(self):
        return self.COLUMNS

    def _shown_rows(self):
        return self._table_rows(_NUM_SHOWN)

    def _table_rows(self, limit):
        return [
            {
                **row,
                "name": ("! " if row["alarm"] else "  ") + _layer_name(row, 40),
                "cumulative": _diagnosis.cumulative_score(row),
            }
            for row in self.rows[:limit]
        ]

    def _footer(self):
        return list(self._verdict(_NUM_SHOWN))

    def _verdict(self, limit: int) -> Iterator[str]:
        alarms = [row for row in self.rows if row["alarm"]]
        yield (
            f"agreement {self.agreement:.4f}, output error {self.error:.3g} of the "
            f"range, on {self.samples} samples"
        )
        for name, verdict in self.verdicts.items():
            yield f"verdict, {name}: {verdict}"
        if not alarms:
            yield f"No layer is below {_diagnosis.ALARM_DB:g} dB."
        for row in alarms[:limit]:
            yield f"{row['layer'] or row['tensor']}: {row['cause']} {row['fix']}"
        for entry in self.sensitivity if alarms else ():
            if entry["error_ratio"] <= _NOTABLE_RATIO:
                yield (
                    f"float32 for {', '.join(entry['float_layers'])}: agreement "
                    f"{entry['agreement']:.4f} ({entry['agreement_gain']:+.4f}), error "
                    f"x{entry['error_ratio']:.2f}"
                )
        yield from super()._footer()

    def plot(self, ax: "Axes | None" = None, *, limit: int = _NUM_SHOWN) -> "Axes":
        """Draws the worst `limit` rows as bars; returns the Matplotlib `Axes`.

        Args:
            ax: The `Axes` to draw on. Defaults to those of a new figure.
            limit: Number of rows. Defaults to 20.
        """
        checks.integer("limit", limit, low=1)
        noisy = [row for row in self.rows if row["sqnr_db"] < 120][:limit]
        return super(QuantizationReport, dataclasses.replace(self, rows=noisy)).plot(ax)

    def _figure_size(self):
        return (8, 1.4 + 0.28 * min(len(self.rows), _NUM_SHOWN))

    def _draw(self, ax: "Axes") -> None:
        positions = range(len(self.rows))
        # A bar of length zero would be invisible.
        local = [max(_diagnosis.local_score(row), 0.3) for row in self.rows]
        colors = [_ALARM_COLOR if row["alarm"] else _SOUND_COLOR for row in self.rows]
        ax.barh(positions, local, color=colors)
        limit = _diagnosis.ALARM_DB
        ax.axvline(limit, color=_ALARM_COLOR, linewidth=1, linestyle="--")
        cumulative = [max(_diagnosis.cumulative_score(row), 0.0) for row in self.rows]
        style = {"markersize": 6, "markerfacecolor": "white"}
        style |= {"markeredgecolor": "black", "label": "with all layers before it"}
        ax.plot(cumulative, positions, "D", **style)
        for color, label in ((_SOUND_COLOR, "its own error"), (_ALARM_COLOR, "alarm")):
            ax.barh([0], [0], color=color, label=label)
        names = [f"{_layer_name(row, 32)} ({row['op'].lower()})" for row in self.rows]
        ax.set_yticks(positions, names, fontsize=8)
        ax.set_ylim(len(self.rows) - 0.4, -0.6)
        ax.set_xlim(left=0)
        ax.set_xlabel("signal to quantization noise (dB), worst first")
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(
            loc="lower center",
            bbox_to_anchor=(0.5, 1),
            ncols=3,
            fontsize=8,
            frameon=False,
        )


def _layer_name(row: Mapping[str, Any], width: int) -> str:
    """The end of the layer's path, which tells layers apart."""
    return (row["layer"] or row["tensor"])[-width:]


def _shape_text(shape):
    return ", ".join("?" if size is None else str(size) for size in shape)
