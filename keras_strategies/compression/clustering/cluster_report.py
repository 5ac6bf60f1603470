"""Report of the distinct values in the kernels of a model."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from keras_strategies._internal.reports import Column, Report
from keras_strategies.compression._common.skipped_layers import skipped_lines

_SUMS = ("parameters", "dense_bytes", "gzip_bytes", "huffman_bytes")


class ClusterReport(Report):
    """The result of `cluster_report`: a table, and its totals.

    `print(report)` shows the table, `report.plot()` a bar a weight.

    Attributes:
        rows: One dict a weight: `layer`, `weight` (its path), `shape`,
            `parameters`, `values` (how many different ones), `channel_values` (the
            same in the output channel of a convolution that has most of them, else
            `values`), `dense_bytes` (as float32), `gzip_bytes` (these after gzip),
            `huffman_bytes` (estimate for codes and their table) and `clustered`
            (whether `cluster` still holds it).
        skipped: One dict for each layer with matrices that are not counted: `layer`
            (its path), `type`, `parameters` and `reason`.
    """

    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("weight", left=True),
        Column("parameters", "weights", form=","),
        Column("values", form=","),
        Column("channel_values", "a channel", form=","),
        Column("dense_bytes", "float32", form=","),
        Column("gzip_bytes", "gzip", form=","),
        Column("huffman_bytes", "huffman~", form=","),
    )
    CHART: ClassVar[tuple[str, str]] = ("weight", "values")

    def __init__(
        self,
        rows: Sequence[Mapping[str, Any]],
        skipped: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.rows: Sequence[Mapping[str, Any]] = rows
        self.skipped: Sequence[Mapping[str, Any]] = skipped

    @property
    def parameters(self) -> int:
        """Number of weights that can be clustered."""
        return self._total("parameters")

    @property
    def dense_bytes(self) -> int:
        """Their bytes as float32."""
        return self._total("dense_bytes")

    @property
    def gzip_bytes(self) -> int:
        """These bytes after gzip."""
        return self._total("gzip_bytes")

    @property
    def huffman_bytes(self) -> int:
        """Estimate of the bytes of Huffman codes and tables of values."""
        return self._total("huffman_bytes")

    def _total(self, name):
        return sum(row[name] for row in self.rows)

    def _summary(self) -> dict[str, Any]:
        sums = {name: self._total(name) for name in _SUMS}
        return {**sums, "skipped": list(self.skipped)}

    def _shown_rows(self) -> Sequence[Mapping[str, Any]]:
        total = {"weight": "total", "values": "", "channel_values": ""}
        sums = {name: self._total(name) for name in _SUMS}
        return [*self.rows, total | sums]

    def _footer(self) -> Sequence[str]:
        return [
            *skipped_lines(self.skipped),
            "Bytes. huffman~: estimate for Huffman codes and tables of values.",
        ]
