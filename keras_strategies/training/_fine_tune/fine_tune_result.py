"""The result of a fine-tuning."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras_strategies._internal.reports import Column
from keras_strategies.training._history_report import HistoryReport


class FineTuneResult(HistoryReport):
    """What `fine_tune` did: a row a phase, the history of both, notes.

    Attributes:
        rows: One dict a phase: `phase`, `epochs`, `learning_rate` (its peak),
            `trained` and `frozen` (numbers of weights), `cached` (whether the head was
            trained on stored features), `seconds`, and the last value of each figure
            that `fit` logged.
        history: Dict from the name of a figure to its values over all epochs.
        first_epochs: Number of epochs of the first phase.
        notes: Sentences about what was chosen and why.
        warnings: Sentences about what looks wrong.
    """

    def __init__(
        self,
        rows: Sequence[Mapping[str, Any]],
        history: Mapping[str, Sequence[float]],
        first_epochs: int,
        notes: Sequence[str] = (),
        warnings: Sequence[str] = (),
    ):
        self.rows = list(rows)
        self.history = {name: list(values) for name, values in history.items()}
        self.first_epochs = first_epochs
        self.notes, self.warnings = list(notes), list(warnings)

    COLUMNS = (
        Column("phase", left=True),
        Column("epochs"),
        Column("learning_rate", form=".2e"),
        Column("trained", form=","),
        Column("frozen", form=","),
        Column("cached"),
        Column("seconds", form=".1f"),
    )

    @property
    def best(self) -> dict[str, float]:
        """The last value of each figure, of the last phase."""
        return {name: values[-1] for name, values in self.history.items() if values}

    def _footer(self):
        return [*self.notes, *(f"Warning: {text}." for text in self.warnings)]

    def _summary(self):
        return {
            "first_epochs": self.first_epochs,
            "history": self.history,
            "notes": self.notes,
            "warnings": self.warnings,
        }

    def _draw(self, ax):
        self._draw_history(ax, ("loss", "val_loss"))
        if 0 < self.first_epochs < len(self.history.get("loss", ())):
            ax.axvline(self.first_epochs + 0.5, color="0.6", linestyle="--")
