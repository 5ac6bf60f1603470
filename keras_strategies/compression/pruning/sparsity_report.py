"""Report of the zeros in the weights of a model."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from keras_strategies._internal.reports import Column, Report
from keras_strategies.compression._common.skipped_layers import skipped_lines

#: Estimates of bytes in the rows, with `sizes=True` only.
SIZES = ("dense_bytes", "sparse_bytes", "gzip_bytes")

# A smaller share of zeros is no result of pruning.
_SOME = 0.1


class SparsityReport(Report):
    """The result of `sparsity_report`: a table, and its total.

    `print(report)` shows the table, `report.plot()` a bar a weight.

    Attributes:
        rows: One dict a weight: `layer`, `weight` (its path), `shape`,
            `parameters`, `zeros`, `sparsity` (share of zeros) and `pruned` (whether
            `prune`, or `preserve`, keeps its zeros). With `sizes=True` also the
            estimates `dense_bytes`, `sparse_bytes` and `gzip_bytes`.
        model_parameters: All parameters of the model, prunable or not.
        skipped: One dict for each layer with matrices that are not counted: `layer`
            (its path), `type`, `parameters` and `reason`.
    """

    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("weight", left=True),
        Column("shape"),
        Column("parameters", form=","),
        Column("zeros", form=","),
        Column("sparsity", form=".2%"),
        Column("dense_bytes", "float32", form=","),
        Column("sparse_bytes", "sparse~", form=","),
        Column("gzip_bytes", "gzip", form=","),
    )
    CHART: ClassVar[tuple[str, str]] = ("weight", "sparsity")

    def __init__(
        self,
        rows: Sequence[Mapping[str, Any]],
        model_parameters: int,
        skipped: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.rows: Sequence[Mapping[str, Any]] = rows
        self.skipped: Sequence[Mapping[str, Any]] = skipped
        self.model_parameters: int = model_parameters

    @property
    def parameters(self) -> int:
        """Number of prunable weights."""
        return sum(row["parameters"] for row in self.rows)

    @property
    def zeros(self) -> int:
        """Number of zeros among them."""
        return sum(row["zeros"] for row in self.rows)

    @property
    def sparsity(self) -> float:
        """Share of zeros in all prunable weights together."""
        return self.zeros / self.parameters if self.parameters else 0.0

    @property
    def dense_bytes(self) -> int | None:
        """Bytes of these weights as float32; `None` without `sizes=True`."""
        return self._total("dense_bytes")

    @property
    def sparse_bytes(self) -> int | None:
        """Estimate of their bytes in TFLite's sparse encoding, or `None`."""
        return self._total("sparse_bytes")

    @property
    def gzip_bytes(self) -> int | None:
        """Bytes of the float32 values after gzip, or `None`."""
        return self._total("gzip_bytes")

    def _total(self, name):
        """The sum of a column, or `None` if it was not measured."""
        if not self.rows or name not in self.rows[0]:
            return None
        return sum(row[name] for row in self.rows)

    def _totals(self):
        names = ("parameters", "zeros", "sparsity", *SIZES)
        return {name: getattr(self, name) for name in names}

    def _shown_rows(self) -> Sequence[Mapping[str, Any]]:
        return [*self.rows, {"weight": "total", "shape": "", **self._totals()}]

    def _footer(self) -> Sequence[str]:
        lines = skipped_lines(self.skipped)
        loose = [row for row in self.rows if not row["pruned"]]
        if sum(row["zeros"] for row in loose) > _SOME * self.parameters:
            lines += ["Further training fills zeros that nothing keeps: `preserve`."]
        if self.dense_bytes is not None:
            lines += ["Bytes. sparse~: estimate for TFLite's sparse encoding."]
        return lines

    def _summary(self) -> dict[str, Any]:
        return {
            "model_parameters": self.model_parameters,
            **self._totals(),
            "skipped": list(self.skipped),
        }

    def _draw(self, ax):
        super()._draw(ax)
        ax.set_xlim(0, 1)
