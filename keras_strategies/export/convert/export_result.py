"""Figures of an exported artifact, measured from the file."""

import dataclasses
import io
from typing import TYPE_CHECKING, Any

from keras_strategies._internal.optional import require
from keras_strategies.export._common import FiguresReport
from keras_strategies.export.convert import _report_page
from keras_strategies.export.verify.comparison_result import draw_worst
from keras_strategies.export.verify.output_verdict import OutputVerdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True)
class ExportResult(FiguresReport):
    """The figures of one exported `.tflite` file, measured from the file itself.

    Returned by `export.to_tflite`. Printing it, or `table()`, shows the main
    figures; `to_dict()` is ready for `json.dumps`; `to_dataframe()` has one row, so
    that several results can be concatenated and compared; `plot()` draws the constants
    by type and `plot_verdict()` the worst output; `save_report` writes a page.

    Args:
        path: The written file, as `str`.
        quantization: The mode or rules that were asked for, or that `"auto"` chose.
        bytes: Size of the file.
        gzipped_bytes: Size of the file under gzip, about what is downloaded.
        signature: `{"inputs": {name: {...}}, "outputs": {name: {...}}}`, each with
            `shape` (`None` for a free axis), `dtype`, and for integers of a
            quantized model `scale` and `zero_point`.
        ops: Operation name -> how often it occurs.
        tensor_types: Type name -> `{"tensors": count, "bytes": constant bytes}`;
            a buffer shared by several tensors is counted once.
        verified: Whether the artifact was run and compared. `False` only for an
            artifact with Flex operations, which `allow_flex=True` let through.
        agreement: Fraction of positions on which the artifact agrees with the
            Keras model, in [0, 1], the lowest over the outputs. `None` if not
            verified.
        max_difference: Largest absolute difference over all outputs.
        mean_difference: Mean absolute difference over all outputs.
        outputs: Output name -> its own `kind`, `agreement`, `max_difference`,
            `mean_difference` and `tolerance`.
        samples: Number of verification samples.
        calibration_samples: Number of samples that int8 ranges come from, else 0.
        latency_ms: Median time of one inference in milliseconds, one thread,
            XNNPACK on, on this machine's processor. `None` if not verified.
        seconds: Wall time of the whole export.
        calibration: Source of the integer ranges: `method`, `samples`, `moving` (the
            fraction of tensors whose range grew by more than 5 % over the last quarter
            of the samples), `moving_tensors` and `settled`. `None` without
            calibration.
        metric: `metric`, `keras`, `artifact`, `drop` and `limit` where
            `max_metric_drop` was given, else `None`.
        search: Course of the search of `"auto"`: `objective`, `margin`, `chosen`,
            `candidates`, `search_samples`, `search_agreement`, `search_loss`,
            `gate_samples`, `gate_agreement` and `gate_loss`. `None` for other modes.
        warnings: Sentences to read before using the artifact.
        verdicts: Output name -> `OutputVerdict`.
        verified_on: What the samples of the check are.

    Example:

    ```python
    import keras
    from keras_strategies import export

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    result = export.to_tflite(model, "result_example.tflite")
    print(result.bytes, result.agreement, result.ops)
    ```
    """

    path: str
    quantization: str | dict[str, str]
    bytes: int
    gzipped_bytes: int
    signature: dict[str, Any]
    ops: dict[str, int]
    tensor_types: dict[str, Any]
    verified: bool
    agreement: float | None
    max_difference: float | None
    mean_difference: float | None
    outputs: dict[str, Any]
    samples: int
    calibration_samples: int
    latency_ms: float | None
    seconds: float
    calibration: dict[str, Any] | None = None
    metric: dict[str, Any] | None = None
    search: dict[str, Any] | None = None
    warnings: tuple[str, ...] = ()
    verdicts: dict[str, OutputVerdict] = dataclasses.field(default_factory=dict)
    verified_on: str = ""

    @property
    def passed(self) -> bool | None:
        """Whether every output passed; `None` for an artifact that was not run.

        `False` only if `min_agreement=0` let a refused file pass.
        """
        if not self.verified:
            return None
        return all(verdict.passed for verdict in self.verdicts.values())

    def figures(self) -> list[tuple[str, str]]:
        """Returns the main figures as pairs of a name and a text."""
        figures = [
            ("file", self.path),
            ("quantization", str(self.quantization)),
            ("size", f"{self.bytes:,} bytes ({self.gzipped_bytes:,} gzipped)"),
        ]
        for role in ("inputs", "outputs"):
            for name, entry in self.signature[role].items():
                figures.append((role[:-1], f"{name} {_tensor_text(entry)}"))
        if self.verified:
            figures += [
                *((f"verdict, {name}", str(v)) for name, v in self.verdicts.items()),
                ("checked on", f"{self.samples} samples ({self.verified_on})"),
                ("agreement", f"{self.agreement:.4f}"),
                ("max difference", f"{self.max_difference:.3g}"),
                ("mean difference", f"{self.mean_difference:.3g}"),
                ("latency", f"{self.latency_ms:.3f} ms"),
            ]
        else:
            figures.append(("agreement", "not verified"))
        figures += _optional_figures(self)
        ops = ", ".join(f"{name} x{count}" for name, count in self.ops.items())
        return [*figures, ("operations", ops)]

    def plot_verdict(self, ax: "Axes | None" = None) -> "Axes":
        """Draws the output that loses most; returns the Matplotlib `Axes`.

        Values are drawn against Keras's, classes as a table of those that changed.

        Args:
            ax: The `Axes` to draw on. Defaults to those of a new figure.
        """
        if ax is None:
            pyplot = require("matplotlib.pyplot", "`ExportResult.plot_verdict`")
            ax = pyplot.subplots(layout="constrained", figsize=(4.6, 4.2))[1]
        draw_worst(self.verdicts, ax)
        return ax

    def _page(self):
        return _report_page.render(self.to_dict(), self._verdict_picture())

    def _verdict_picture(self):
        """The picture of the worst output as PNG, or None where there is none."""
        try:
            module = require("matplotlib.figure", "the picture of a report")
        except ImportError:
            return None
        if not self.verdicts:
            return None
        figure = module.Figure(figsize=(4.6, 4.2), layout="constrained")
        self.plot_verdict(figure.subplots())
        data = io.BytesIO()
        figure.savefig(data, format="png", dpi=110)
        return data.getvalue()

    def _draw(self, ax: "Axes") -> None:
        sizes = {name: entry["bytes"] for name, entry in self.tensor_types.items()}
        names = sorted(sizes, key=lambda name: -sizes[name])
        ax.barh(names, [sizes[name] / 1e3 for name in names], color="#0b6e99")
        ax.invert_yaxis()
        ax.set_xlabel("constants of a type (kB)")


def _optional_figures(result):
    figures = []
    if result.metric:
        values = "{artifact:.4f}, Keras {keras:.4f}".format(**result.metric)
        figures.append((result.metric["metric"], values))
    if result.calibration:
        settled = "settled" if result.calibration["settled"] else "still moving"
        text = "{method}, {samples} samples, ranges ".format(**result.calibration)
        figures.append(("calibration", text + settled))
    if result.search:
        text = (
            "{chosen}: loss {search_loss:.3g} of the limit on {search_samples} samples "
            "searched, {gate_loss:.3g} on {gate_samples} held out"
        )
        figures.append(("search", text.format(**result.search)))
    return figures


def _tensor_text(entry):
    shape = ", ".join("?" if size is None else str(size) for size in entry["shape"])
    return f"{entry['dtype']} ({shape})"
