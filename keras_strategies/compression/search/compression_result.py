"""Result of `compress`: the model, its file, and all candidates."""

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.reports import Column, Report
from keras_strategies._internal.storage import files
from keras_strategies.compression.search import _pareto_plot


def _blank_zero(value):
    return f"{value:.3g}" if value else ""


def _blank_none(form):
    def cell(value: Any) -> str:
        if value is None or isinstance(value, str):
            return value or ""
        return format(value, form)

    return cell


class CompressionResult(Report):
    """The result of `compress`: the model, its file, and all that was tried.

    `print(result)` shows the candidates and the verdict, `result.plot()` the points
    lost against the gzipped bytes, with the candidates that no other one beats in
    both (the Pareto front) joined by a line.

    Attributes:
        model: The compressed Keras model, compiled like the given one.
        content: The `.tflite` file as `bytes`.
        target: `"size"` or `"latency"`.
        budget: Points that might be lost.
        metric: Name of the metric.
        mode: `"max"` or `"min"`.
        rows: One dict for each candidate, in order: `quantization`
            (`"int8"`, `"int8 QAT"`, `"dynamic"`, `"float16"`), `sparsity`,
            `clusters` (values in a kernel, or `None`), `filters` (share removed),
            `metric` and `drop` (points lost) of its `.tflite` on the validation
            data, `bytes`, `gzipped_bytes`, `latency_ms`, `flops` (only for the
            target latency), `passed` and `verdict` (the verdict of `to_tflite` on the
            file, which must pass, too), `met`, `seconds`, and `error`, why there is no
            file.
        chosen: The dict of the one taken.
        baseline: `bytes`, `gzipped_bytes` and `latency_ms` of the float32 `.tflite`
            of the given model.
        validation: `samples`, `float` and `compressed` (the metric of the given
            model and of the `.tflite`) and `drop`, on the data of the search.
        held_out: The same on data that the search has not used: an unbiased
            measurement, as the choice was made by the figures in `validation`. Also
            `bound` (upper confidence bound of the drop), `met`, `reason` and
            `samples_needed` (about how many samples would decide, or `None`).
        confidence: Confidence of the bound.
    """

    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("mark", "", left=True),
        Column("quantization", "numbers", left=True),
        Column("filters", "filters removed", form=_blank_zero),
        Column("sparsity", form=_blank_zero),
        Column("clusters", "values", form=_blank_none("")),
        Column("metric", form=_blank_none(".5g")),
        Column("drop", form=_blank_none("+.2f")),
        Column("bytes", form=_blank_none(",")),
        Column("gzipped_bytes", "gzipped", form=_blank_none(",")),
        Column("latency_ms", "ms", form=_blank_none(".3f")),
        Column("seconds", form=".1f"),
    )

    def __init__(
        self,
        *,
        model: keras.Model,
        content: bytes,
        target: Literal["size", "latency"],
        budget: float,
        metric: str,
        mode: Literal["min", "max"],
        rows: Sequence[Mapping[str, Any]],
        chosen: Mapping[str, Any],
        baseline: Mapping[str, Any],
        validation: Mapping[str, Any],
        held_out: Mapping[str, Any],
        confidence: float,
    ) -> None:
        self.model: keras.Model = model
        self.content: bytes = content
        self.target: Literal["size", "latency"] = target
        self.budget: float = budget
        self.metric: str = metric
        self.mode: Literal["min", "max"] = mode
        self.rows: Sequence[Mapping[str, Any]] = rows
        self.chosen: Mapping[str, Any] = chosen
        self.baseline: Mapping[str, Any] = baseline
        self.validation: Mapping[str, Any] = validation
        self.held_out: Mapping[str, Any] = held_out
        self.confidence: float = confidence

    @property
    def candidates(self) -> Sequence[Mapping[str, Any]]:
        """The candidates: `rows` by the name of what they are."""
        return self.rows

    @property
    def met(self) -> bool:
        """Whether the upper bound of the drop on the held-out data is within budget.

        False also if the data cannot decide; `reason` says which.
        """
        return self.chosen["met"] and self.held_out["met"]

    @property
    def held_out_met(self) -> bool:
        """Whether the drop measured on the held-out data is within the budget."""
        return self.held_out["drop"] <= self.budget

    @property
    def reason(self) -> str:
        """Why `met` is what it is, in one or two sentences."""
        if not self.chosen["met"]:
            return "No candidate is within the budget on the validation data."
        return self.held_out["reason"]

    @property
    def samples_needed(self) -> int | None:
        """About how many held-out samples would decide; `None` if none would."""
        return self.held_out["samples_needed"]

    @property
    def bytes(self) -> int:
        """Size of the `.tflite` file."""
        return self.chosen["bytes"]

    @property
    def gzipped_bytes(self) -> int:
        """Size of the file under gzip, about what is downloaded."""
        return self.chosen["gzipped_bytes"]

    @property
    def ratio(self) -> float:
        """How many times smaller than the float32 `.tflite`, both gzipped."""
        return self.baseline["gzipped_bytes"] / self.gzipped_bytes

    def save(self, folder: str | os.PathLike[str]) -> tuple[str, str]:
        """Writes `model.keras` and `model.tflite`; returns both paths.

        Each file is written under another name and renamed, so that none is ever
        half written.

        Args:
            folder: The folder to write to; it is created if it does not exist.
        """
        checks.instance("folder", folder, (str, os.PathLike))
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        keras_path, tflite_path = folder / "model.keras", folder / "model.tflite"
        with files.aside(keras_path, ".keras") as temporary:
            self.model.save(temporary)
        files.replace(tflite_path, self.content)
        return str(keras_path), str(tflite_path)

    def _columns(self) -> tuple[Column, ...]:
        return self.COLUMNS

    def _shown_rows(self) -> Sequence[Mapping[str, Any]]:
        shown = []
        for row in self.rows:
            mark = "*" if row is self.chosen else "" if row["met"] else "-"
            failed = dict.fromkeys(("metric", "drop"), "failed") if row["error"] else {}
            shown.append({**row, "mark": mark, **failed})
        return shown

    def _footer(self) -> Sequence[str]:
        lines = [
            "* taken, - over the budget. Sizes in bytes; drop in points.",
            f"{self.gzipped_bytes:,} bytes gzipped, {self.ratio:.1f} times smaller "
            f"than float32 ({self.baseline['gzipped_bytes']:,})",
        ]
        for name, figures in (
            ("validation", self.validation),
            ("held out", self.held_out),
        ):
            verdict = "within" if figures["drop"] <= self.budget else "over"
            lines.append(
                f"{self.metric}, {name}, {figures['samples']} samples: "
                f"{figures['float']:.5g} > {figures['compressed']:.5g}, "
                f"{figures['drop']:+.2f} points ({verdict} the budget of "
                f"{self.budget:g})"
            )
        return [*lines, self.reason]

    def _summary(self) -> dict[str, Any]:
        return {
            "ratio": self.ratio,
            "bytes": self.bytes,
            "gzipped_bytes": self.gzipped_bytes,
            "budget": self.budget,
            "met": self.met,
            "reason": self.reason,
            "confidence": self.confidence,
            "held_out_met": self.held_out_met,
            "target": self.target,
            "metric": self.metric,
            "mode": self.mode,
            "chosen": self.chosen,
            "baseline": self.baseline,
            "validation": self.validation,
            "held_out": self.held_out,
        }

    def _warnings(self) -> Sequence[str]:
        return [] if self.met else [self.reason]

    def _figure_size(self) -> tuple[float, float]:
        return (7.0, 4.5)

    def _draw(self, ax):
        _pareto_plot.draw(ax, self)
