"""Report of the ranges of a quantization-aware model."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from keras_strategies._internal.reports import Column, Report


class RangeReport(Report):
    """The result of `range_report`: a table of what is quantized.

    `print(report)` shows the table, `report.plot()` the ranges of the activations.

    Attributes:
        rows: One dict for each simulated quantization: `name` of the layer, `kind`
            (`"activation"` or `"weights"`), `bits`, and for activations `low`,
            `high` and `step` (the distance of two values), or `None` while no batch
            was seen.
    """

    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("name", "layer", left=True),
        Column("kind", left=True),
        Column("bits"),
        Column("low", form=".4g"),
        Column("high", form=".4g"),
        Column("step", form=".4g"),
    )

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self.rows: Sequence[Mapping[str, Any]] = rows

    @property
    def unset(self) -> list[str]:
        """Names of the activations that have seen no batch in training."""
        return [row["name"] for row in self._activations() if row["low"] is None]

    def _activations(self):
        return [row for row in self.rows if row["kind"] == "activation"]

    def _footer(self) -> Sequence[str]:
        if not self.unset:
            return ()
        return (f"Activations without a range, no batch seen: {len(self.unset)}",)

    def _summary(self) -> dict[str, Any]:
        return {"unset": self.unset}

    def _draw(self, ax):
        """Draws a bar from the low to the high end of each range."""
        rows = [row for row in self._activations() if row["low"] is not None]
        ax.barh(
            range(len(rows)),
            [row["high"] - row["low"] for row in rows],
            left=[row["low"] for row in rows],
            color="#0b6e99",
        )
        ax.axvline(0.0, color="#888888", linewidth=1)
        ax.set_yticks(range(len(rows)), [row["name"] for row in rows])
        ax.invert_yaxis()
        ax.set_xlabel("range of the activations")
