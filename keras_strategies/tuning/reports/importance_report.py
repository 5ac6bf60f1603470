"""Importance of the hyperparameters of a search, as a result."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from keras_strategies._internal.reports import Column, Report
from keras_strategies.tuning.reports import _drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class ImportanceReport(Report, Mapping[str, float]):
    """The result of `hyperparameter_importance`: a mapping from name to importance.

    Print it for a table, call `plot` for bars; `report["learning_rate"]`, `items()`
    and `len()` work as for a dict.

    Attributes:
        rows: One dict for each hyperparameter, the most important first:
            `hyperparameter` and `importance`. The importances add up to 1.
        objective: Name of the metric that they explain.
        evaluator: The method, `"fanova"` or `"ped_anova"`.
        trials: Number of completed trials they were computed from.
    """

    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("hyperparameter", left=True),
        Column("importance", form=".1%"),
    )

    def __init__(
        self,
        importance: Mapping[str, float],
        objective: str,
        evaluator: str,
        trials: int,
    ) -> None:
        self.rows: list[dict[str, Any]] = [
            {"hyperparameter": name, "importance": value}
            for name, value in importance.items()
        ]
        self.objective: str = objective
        self.evaluator: str = evaluator
        self.trials: int = trials
        self._importance = dict(importance)

    def __getitem__(self, name: str) -> float:
        return self._importance[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._importance)

    def __len__(self) -> int:
        return len(self._importance)

    def _summary(self) -> dict[str, Any]:
        return {
            "objective": self.objective,
            "evaluator": self.evaluator,
            "trials": self.trials,
        }

    def _footer(self) -> tuple[str, ...]:
        return (f"for {self.objective}, by {self.evaluator} of {self.trials} trials",)

    def _draw(self, ax: "Axes") -> None:
        _drawing.draw_importance(ax, self, self.objective)
