"""The base of results of a training: a row a stage, figures by epoch."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras_strategies._internal.reports import Column, Report


class HistoryReport(Report):
    """A report whose rows have figures that `fit` logged, with their history.

    Subclasses name the other columns. A figure is every other key of the rows.
    """

    history: Mapping[str, Sequence[float]]

    def _columns(self) -> tuple[Column, ...]:
        named = {column.key for column in self.COLUMNS}
        keys = dict.fromkeys(key for row in self.rows for key in row)
        figures = [Column(key, form=".4f") for key in keys if key not in named]
        return (*super()._columns(), *figures)

    def _figure_size(self) -> tuple[float, float]:
        return (7.0, 4.0)

    def _draw_history(self, ax: Any, names: Sequence[str]) -> None:
        """Draws the figures of these names by epoch, those that there are."""
        for name in names:
            values = self.history.get(name)
            if values:
                ax.plot(range(1, len(values) + 1), values, label=name)
        ax.set(xlabel="epoch", ylabel="loss")
        ax.legend()
