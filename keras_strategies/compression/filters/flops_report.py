"""Report of the multiplications that a model needs."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from keras_strategies._internal.reports import Column, Report


class FlopsReport(Report):
    """The result of `flops`: a table, and its total.

    `print(report)` shows the table, `report.plot()` a bar a layer.

    Attributes:
        rows: One dict a layer in the order of the model: `layer` (its path), `type`,
            `output_shape`, `parameters` and `macs` (over all its calls).
        not_counted: Paths of layers with weights that are not supported, such as
            attention: their operations are missing in the total.
    """

    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("layer", left=True),
        Column("output_shape", "output"),
        Column("parameters", form=","),
        Column("macs", "MACs", form=","),
    )
    CHART: ClassVar[tuple[str, str]] = ("layer", "macs")

    def __init__(
        self, rows: Sequence[Mapping[str, Any]], not_counted: Sequence[str]
    ) -> None:
        self.rows: Sequence[Mapping[str, Any]] = rows
        self.not_counted: Sequence[str] = not_counted

    @property
    def macs(self) -> int:
        """Multiply-accumulate operations for one sample."""
        return sum(row["macs"] for row in self.rows)

    @property
    def flops(self) -> int:
        """Floating-point operations for one sample: two for each MAC."""
        return 2 * self.macs

    def _shown_rows(self) -> Sequence[Mapping[str, Any]]:
        blank = {"output_shape": "", "parameters": ""}
        return [*self.rows, {"layer": "total", **blank, "macs": self.macs}]

    def _footer(self) -> Sequence[str]:
        if not self.not_counted:
            return ()
        return (f"not counted: {', '.join(self.not_counted)}",)

    def _summary(self) -> dict[str, Any]:
        return {
            "macs": self.macs,
            "flops": self.flops,
            "not_counted": list(self.not_counted),
        }
