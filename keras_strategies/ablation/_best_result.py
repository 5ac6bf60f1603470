"""What helped, together and confirmed."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from keras_strategies._internal.reports import Column, Report

if TYPE_CHECKING:
    import keras

    from keras_strategies.ablation._engine import Engine


def interval_text(value: tuple[float, float] | None) -> str:
    """An interval of differences, with signs."""
    return "-" if value is None else f"{value[0]:+.4f} to {value[1]:+.4f}"


class BestResult(Report):
    """The best combination of strategies that new trainings confirm.

    Made by `StudyResult.best`. All figures are of new seeds, on samples that nothing
    has looked at before.

    Attributes:
        strategies: Names of the strategies of the best combination; empty if none is
            confirmed, so that the baseline stays.
        confirmed: Whether it is better than the baseline.
        difference: Its mean score less that of the baseline, or `None`.
        interval: Confidence interval of `difference` (95 %, for all candidates
            together), or `None`.
        note: What to know, such as that the combination is worse than a part of it.
        rows: One dict a candidate: `candidate`, `score`, `difference`, `interval`,
            `p_value`, `confirmed`.
    """

    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("candidate", left=True),
        Column("score", form=".4f"),
        Column("difference", form="+.4f"),
        Column("interval", form=interval_text),
        Column("p_value", "p", form=".4f"),
        Column("confirmed"),
    )
    CHART: ClassVar[tuple[str, str] | None] = ("candidate", "score")

    def __init__(
        self,
        engine: "Engine",
        rows: Sequence[Mapping[str, Any]],
        strategies: Sequence[str],
        note: str,
    ):
        self._engine = engine
        self.rows: list[dict[str, Any]] = [dict(row) for row in rows]
        self.strategies: list[str] = list(strategies)
        self.note = note
        mine = [row for row in self.rows if row["strategies"] == self.strategies]
        self.confirmed: bool = bool(self.strategies)
        self.difference: float | None = (
            mine[0]["difference"] if mine and self.confirmed else None
        )
        self.interval: tuple[float, float] | None = (
            mine[0]["interval"] if mine and self.confirmed else None
        )

    def _footer(self):
        names = " + ".join(self.strategies) or "the baseline"
        return [f"best: {names}", *([self.note] if self.note else [])]

    def _summary(self):
        return {
            "strategies": self.strategies,
            "confirmed": self.confirmed,
            "difference": self.difference,
            "interval": self.interval,
            "note": self.note,
        }

    def train(self, seed: int = 0) -> "keras.Model":
        """Trains the best combination once more, in this process.

        Args:
            seed: Number of the run: its seed and split. Defaults to `0`.

        Returns:
            The trained `keras.Model`.
        """
        from keras_strategies.ablation._confirmation import trained

        return trained(self._engine, tuple(self.strategies), seed)
