"""What `evaluate` measured."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from keras_strategies._internal.reports import Column, Report


@dataclasses.dataclass
class FaithfulnessReport(Report):
    """How faithful some methods are, in the order in which they were given.

    Attributes:
        rows: A dict a method: `method`, and the means over the samples of `insertion`
            (higher is better), `deletion` (lower), `infidelity` (lower; 0 is perfect,
            1 says nothing), `pointing_game` (the share of hits, higher) and
            `randomization` (rank correlation with the map of random weights, near 0 is
            better). The row `random` has maps of random numbers.
        curves: `{"insertion": {method: curve}, "deletion": ...}`, the mean output
            after each step.
    """

    rows: Sequence[dict[str, Any]]
    curves: Mapping[str, Mapping[str, np.ndarray]]

    COLUMNS: ClassVar[tuple[Column, ...]] = (
        Column("method", left=True),
        Column("insertion", "insertion (+)", ".3f"),
        Column("deletion", "deletion (-)", ".3f"),
        Column("infidelity", "infidelity (-)", ".3f"),
        Column("pointing_game", "pointing game (+)", ".1%"),
        Column("randomization", "randomization (0)", ".2f"),
    )

    def _summary(self) -> dict[str, Any]:
        return {"curves": {kind: dict(c) for kind, c in self.curves.items()}}

    def _footer(self) -> Sequence[str]:
        return [
            "(+) higher is better, (-) lower is better, (0) nearer to 0 is better. A "
            "method that is no better than `random` does not explain this model."
        ]

    def _figure_size(self) -> tuple[float, float]:
        return (6.0, 4.0)

    def _draw(self, ax: Any) -> None:
        """Draws the curves: solid of insertion, dashed of deletion."""
        if not self.curves:
            raise NotImplementedError("No curve was measured.")
        names = [row["method"] for row in self.rows]
        for kind, style in (("insertion", "-"), ("deletion", "--")):
            for index, name in enumerate(names):
                curve = self.curves.get(kind, {}).get(name)
                if curve is not None:
                    x = np.linspace(0, 1, len(curve))
                    label = f"{name}, {kind}"
                    ax.plot(x, curve, style, color=f"C{index}", label=label)
        ax.set_xlabel("part of the positions inserted or deleted")
        ax.set_ylabel("output")
        ax.legend(fontsize=7)
