"""The result of a distillation."""

from collections.abc import Mapping, Sequence
from typing import Any

from keras_strategies._internal.reports import Column
from keras_strategies.training._history_report import HistoryReport


class DistillationResult(HistoryReport):
    """What `distill` did: teachers and student side by side, and the history.

    Attributes:
        rows: One dict a model: `model`, `parameters` (`None` for a file), and, with
            validation data, its loss and metrics on them, all by the student's loss.
            The student has a row for before and one for after.
        history: Dict from the name of a figure to its values by epoch. `loss` is the
            sum that was trained on, `student_loss` and `distillation_loss` its parts,
            `val_loss` the student's own loss.
        notes: Sentences about what was chosen and why.
    """

    COLUMNS = (
        Column("model", left=True),
        Column("parameters", form=","),
    )

    def __init__(
        self,
        rows: Sequence[Mapping[str, Any]],
        history: Mapping[str, Sequence[float]],
        notes: Sequence[str] = (),
    ):
        self.rows = list(rows)
        self.history = {name: list(values) for name, values in history.items()}
        self.notes = list(notes)

    def _footer(self):
        return self.notes

    def _summary(self):
        return {"history": self.history, "notes": self.notes}

    def _draw(self, ax):
        self._draw_history(ax, ("student_loss", "distillation_loss", "val_loss"))
