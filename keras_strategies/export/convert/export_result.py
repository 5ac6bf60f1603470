"""Figures of an exported artifact, measured from the file."""

import dataclasses
from typing import TYPE_CHECKING, Any

from keras_strategies.export._common import FiguresReport
from keras_strategies.export.convert import _report_page

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True)
class ExportResult(FiguresReport):
    """The figures of one exported `.tflite` file, measured from the file itself.

    Returned by `export.to_tflite`. Printing it, or `table()`, shows the main
    figures; `to_dict()` is ready for `json.dumps`; `to_dataframe()` has one row, so
    that several results can be concatenated and compared; `plot()` draws the constants
    by type; `save_report` writes a page.

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
        outputs: Output name -> its own `kind` (`"top-1"` or `"values"`),
            `agreement`, `max_difference`, `mean_difference` and `tolerance`.
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
            `candidates`, `search_samples`, `search_agreement`, `gate_samples` and
            `gate_agreement`. `None` for other modes.
        warnings: Sentences to read before using the artifact.

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
                ("agreement", f"{self.agreement:.4f} on {self.samples} samples"),
                ("max difference", f"{self.max_difference:.3g}"),
                ("mean difference", f"{self.mean_difference:.3g}"),
                ("latency", f"{self.latency_ms:.3f} ms"),
            ]
        else:
            figures.append(("agreement", "not verified"))
        figures += _optional_figures(self)
        ops = ", ".join(f"{name} x{count}" for name, count in self.ops.items())
        return [*figures, ("operations", ops)]

    def _page(self):
        return _report_page.render(self.to_dict())

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
            "{chosen}: {search_agreement:.4f} on {search_samples} samples searched, "
            "{gate_agreement:.4f} on {gate_samples} held out"
        )
        figures.append(("search", text.format(**result.search)))
    return figures


def _tensor_text(entry):
    shape = ", ".join("?" if size is None else str(size) for size in entry["shape"])
    return f"{entry['dtype']} ({shape})"
