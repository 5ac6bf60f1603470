"""Report of the filters that `prune_filters` removed."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from keras_strategies._internal.reports import Column, Report


def _arrow(pair):
    return f"{pair[0]:,} > {pair[1]:,}" if pair else ""


def _saved(pair):
    return f"{1 - pair[1] / pair[0]:.1%}" if pair[0] else ""


class FilterReport(Report):
    """The result of `filter_report`: a table, and its totals.

    `print(report)` shows the table, `report.plot()` the MACs before and after.

    Attributes:
        rows: One dict a layer that has units or MACs: `layer` (its path), `units` and
            `macs` (pairs: before, after; units `None` for depthwise layers) and
            `kept` (why none of its units can be removed, or `None`).
        macs: MACs of both models, before and after.
        parameters: Parameters of both models, before and after.
        not_counted: Layers whose MACs are not known.
    """

    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("layer", left=True),
        Column("units", form=_arrow),
        Column("macs", "MACs", form=_arrow),
        Column("saved", form=_saved),
        Column("kept", form=lambda reason: reason or "", left=True),
    )

    def __init__(
        self,
        rows: Sequence[Mapping[str, Any]],
        macs: tuple[int, int],
        parameters: tuple[int, int],
        not_counted: Sequence[str],
    ) -> None:
        self.rows: Sequence[Mapping[str, Any]] = rows
        self.macs: tuple[int, int] = macs
        self.parameters: tuple[int, int] = parameters
        self.not_counted: Sequence[str] = not_counted

    @property
    def kept(self) -> dict[str, str]:
        """`{path: reason}` of the layers of which no unit can be removed."""
        return {row["layer"]: row["kept"] for row in self.rows if row["kept"]}

    def _columns(self) -> tuple[Column, ...]:
        return self.COLUMNS  # `saved` is computed when it is shown

    def _shown_rows(self) -> Sequence[Mapping[str, Any]]:
        totals = [
            {"layer": "total", "macs": self.macs},
            {"layer": "parameters", "macs": self.parameters},
        ]
        return [{**row, "saved": row["macs"]} for row in [*self.rows, *totals]]

    def _footer(self) -> Sequence[str]:
        if not self.not_counted:
            return ()
        return (f"not counted: {', '.join(self.not_counted)}",)

    def _summary(self) -> dict[str, Any]:
        return {
            "macs": self.macs,
            "parameters": self.parameters,
            "not_counted": list(self.not_counted),
        }

    def _draw(self, ax):
        """Draws the MACs after pruning over those before it."""
        positions = range(len(self.rows))
        for index, color, label in ((0, "#c9d6dd", "before"), (1, "#0b6e99", "after")):
            macs = [row["macs"][index] for row in self.rows]
            ax.barh(positions, macs, color=color, label=label)
        ax.set_yticks(positions, [row["layer"] for row in self.rows])
        ax.invert_yaxis()
        ax.set_xlabel("MACs")
        ax.legend(frameon=False)
