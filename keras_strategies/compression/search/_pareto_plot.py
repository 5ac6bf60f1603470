"""Plot of a search: points lost against bytes, with the Pareto front."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from keras_strategies.compression.search.compression_result import (
        CompressionResult,
    )


def pareto_front(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows that no other row beats in both bytes and drop, by bytes."""
    best_drop, front = float("inf"), []
    for row in sorted(rows, key=lambda row: (row["gzipped_bytes"], row["drop"])):
        if row["drop"] < best_drop:
            best_drop = row["drop"]
            front.append(row)
    return front


def _label(row):
    parts = []
    if row["filters"]:
        parts.append(f"-{row['filters']:.0%} filters")
    if row["sparsity"]:
        parts.append(f"{row['sparsity']:.3g} sparse")
    if row["clusters"]:
        parts.append(f"{row['clusters']} values")
    return ", ".join(parts) or row["quantization"]


def _points(rows):
    """Coordinates of the rows: bytes and drops."""
    return [row["gzipped_bytes"] for row in rows], [row["drop"] for row in rows]


def draw(ax: "Axes", result: "CompressionResult") -> None:
    """Draws the candidates, the front, the budget and the candidate that was taken."""
    rows = [row for row in result.rows if not row["error"]]
    for met, color, label in (
        (True, "#1b7f5c", "within the budget"),
        (False, "#c0392b", "over the budget"),
    ):
        x, y = _points([row for row in rows if row["met"] is met])
        ax.scatter(x, y, color=color, label=label, zorder=3)
    front = pareto_front(rows)
    ax.plot(*_points(front), color="#888888", linewidth=1, zorder=2)
    for row in front:
        ax.annotate(
            _label(row),
            (row["gzipped_bytes"], row["drop"]),
            xytext=(4, 4),
            textcoords="offset points",
            fontsize=7,
        )
    ax.scatter(
        *_points([result.chosen]),
        s=160,
        facecolors="none",
        edgecolors="black",
        label="taken",
        zorder=4,
    )
    ax.axhline(result.budget, color="#c0392b", linewidth=1, linestyle="--")
    ax.set_xscale("log")
    ax.set_xlabel("bytes of the gzipped .tflite file")
    ax.set_ylabel(f"points of {result.metric} lost, validation")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(fontsize=8, frameon=False)
