"""What `compress` found."""

import os
import pathlib

from keras_strategies._internal import checks, files
from keras_strategies._internal.optional import require
from keras_strategies.compression.search import _pareto_plot

_COLUMNS = (
    ("quantization", "numbers", "{}"),
    ("filters", "filters-", "{:.3g}"),
    ("sparsity", "sparsity", "{:.3g}"),
    ("clusters", "values", "{}"),
    ("metric", "metric", "{:.5g}"),
    ("drop", "drop", "{:+.2f}"),
    ("bytes", "bytes", "{:,}"),
    ("gzipped_bytes", "gzipped", "{:,}"),
    ("latency_ms", "ms", "{:.3f}"),
    ("seconds", "seconds", "{:.1f}"),
)


class CompressionResult:
    """The result of `compress`: the model, its file, and all that was tried.

    Attributes:
        model: The compressed Keras model, compiled like the given one.
        content: The `.tflite` file as `bytes`.
        target: `"size"` or `"latency"`.
        budget: Points that might be lost.
        metric: Name of the metric.
        mode: `"max"` or `"min"`.
        candidates: One dict for each model tried, in order: `quantization`
            (`"int8"`, `"int8 QAT"`, `"dynamic"`, `"float16"`), `sparsity`,
            `clusters` (values in a kernel, or `None`), `filters` (share removed),
            `metric` and `drop` (points lost) of its `.tflite` on the validation
            data, `bytes`, `gzipped_bytes`, `latency_ms`, `flops` (only for the
            target latency), `met`, `seconds`, and `error`, why there is no file.
        chosen: The dict of the one taken.
        baseline: `bytes`, `gzipped_bytes` and `latency_ms` of the float32 `.tflite`
            of the given model.
        validation: `samples`, `float` and `compressed` (the metric of the given
            model and of the `.tflite`) and `drop`, on the data of the search.
        held_out: The same on data that the search has not seen; its own word on
            what was lost, as the choice was made by the figure in `validation`.
    """

    def __init__(
        self,
        *,
        model,
        content,
        target,
        budget,
        metric,
        mode,
        candidates,
        chosen,
        baseline,
        validation,
        held_out,
    ):
        self.model, self.content = model, content
        self.target, self.budget = target, budget
        self.metric, self.mode = metric, mode
        self.candidates, self.chosen = candidates, chosen
        self.baseline, self.validation, self.held_out = baseline, validation, held_out

    @property
    def met(self):
        """Whether the model keeps to the budget on the validation data."""
        return self.chosen["met"]

    @property
    def held_out_met(self):
        """Whether it does so on the held-out data as well."""
        return self.held_out["drop"] <= self.budget

    @property
    def bytes(self):
        """Size of the `.tflite` file."""
        return self.chosen["bytes"]

    @property
    def gzipped_bytes(self):
        """Size of the file under gzip, about what is downloaded."""
        return self.chosen["gzipped_bytes"]

    @property
    def ratio(self):
        """How many times smaller than the float32 `.tflite`, both gzipped."""
        return self.baseline["gzipped_bytes"] / self.gzipped_bytes

    def table(self):
        """Returns the candidates and the verdict as text."""
        cells = [[""] + [title for _, title, _ in _COLUMNS]]
        for row in self.candidates:
            mark = "*" if row is self.chosen else "" if row["met"] else "-"
            cells.append([mark] + [_cell(row, *column) for column in _COLUMNS])
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [
            "  ".join(
                cell.rjust(width) for cell, width in zip(row, widths, strict=True)
            ).rstrip()
            for row in cells
        ]
        return "\n".join([*lines, "", *self._verdict()])

    def _verdict(self):
        yield "* taken, - over the budget. Sizes in bytes; drop in points."
        yield (
            f"{self.gzipped_bytes:,} bytes gzipped, {self.ratio:.1f} times smaller "
            f"than float32 ({self.baseline['gzipped_bytes']:,})"
        )
        for name, found in (
            ("validation", self.validation),
            ("held out", self.held_out),
        ):
            verdict = "within" if found["drop"] <= self.budget else "over"
            yield (
                f"{self.metric}, {name}, {found['samples']} samples: "
                f"{found['float']:.5g} > {found['compressed']:.5g}, "
                f"{found['drop']:+.2f} points ({verdict} the budget of "
                f"{self.budget:g})"
            )

    def plot(self, path=None):
        """Draws the points lost against the gzipped bytes; returns the figure.

        The line joins the candidates that no other one beats in both (the Pareto
        front).

        Args:
            path: File to write, ending in .png, .svg or .pdf. Defaults to `None`.
        """
        if path is not None:
            checks.instance("path", path, (str, os.PathLike))
            if pathlib.Path(path).suffix.lower() not in (".png", ".svg", ".pdf"):
                checks.fail("`path` must end in .png, .svg or .pdf", path=str(path))
        module = require("matplotlib.figure", "`CompressionResult.plot`")
        figure = module.Figure(figsize=(7, 4.5), layout="constrained")
        _pareto_plot.draw(figure, self)
        if path is not None:
            figure.savefig(path, dpi=110)
        return figure

    def save(self, folder):
        """Writes `model.keras` and `model.tflite`; returns both paths.

        Each file is written aside and renamed, so that none is ever half written.

        Args:
            folder: Where to; it is made if it does not exist.
        """
        checks.instance("folder", folder, (str, os.PathLike))
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        paths = folder / "model.keras", folder / "model.tflite"
        aside = folder / f".{os.getpid()}.keras"
        try:
            self.model.save(aside)
            os.replace(aside, paths[0])
        finally:
            aside.unlink(missing_ok=True)
        files.replace(paths[1], self.content)
        return tuple(str(path) for path in paths)

    def __str__(self):
        return self.table()


def _cell(row, key, title, form):
    value = row[key]
    if row["error"] and key in ("metric", "drop"):
        return "failed"
    nothing = value is None or (key in ("filters", "sparsity") and not value)
    return "" if nothing else form.format(value)
