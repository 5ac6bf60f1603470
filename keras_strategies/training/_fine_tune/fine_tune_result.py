"""The result of a fine-tuning."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras_strategies._internal.reports import Column, Report


def _rate(value):
    return "-" if value is None else f"{value:.2e}"


class FineTuneResult(Report):
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
        Column("learning_rate", form=_rate),
        Column("trained", form=","),
        Column("frozen", form=","),
        Column("cached"),
        Column("seconds", form=".1f"),
    )

    @property
    def best(self) -> dict[str, float]:
        """The last value of each figure, of the last phase."""
        return {name: values[-1] for name, values in self.history.items() if values}

    def _columns(self):
        known = {column.key for column in self.COLUMNS}
        keys = dict.fromkeys(key for row in self.rows for key in row)
        figures = [Column(key, form=".4f") for key in keys if key not in known]
        return (*super()._columns(), *figures)

    def _footer(self):
        return [*self.notes, *(f"Warning: {text}." for text in self.warnings)]

    def _summary(self):
        return {
            "first_epochs": self.first_epochs,
            "history": self.history,
            "notes": self.notes,
            "warnings": self.warnings,
        }

    def _figure_size(self):
        return (7.0, 4.0)

    def _draw(self, ax):
        for name in ("loss", "val_loss"):
            values = self.history.get(name)
            if values:
                ax.plot(range(1, len(values) + 1), values, label=name)
        if 0 < self.first_epochs < len(self.history.get("loss", ())):
            ax.axvline(self.first_epochs + 0.5, color="0.6", linestyle="--")
        ax.set(xlabel="epoch", ylabel="loss")
        ax.legend()
