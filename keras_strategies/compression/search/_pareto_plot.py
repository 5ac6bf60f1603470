"""The picture of a search: points lost against bytes."""


def front(rows):
    """The rows that no other one beats in both bytes and drop, by bytes."""
    best, found = float("inf"), []
    for row in sorted(rows, key=lambda row: (row["gzipped_bytes"], row["drop"])):
        if row["drop"] < best:
            best = row["drop"]
            found.append(row)
    return found


def _label(row):
    parts = []
    if row["filters"]:
        parts.append(f"-{row['filters']:.0%} filters")
    if row["sparsity"]:
        parts.append(f"{row['sparsity']:.3g} sparse")
    if row["clusters"]:
        parts.append(f"{row['clusters']} values")
    return ", ".join(parts) or row["quantization"]


def draw(figure, result):
    axis = figure.subplots()
    rows = [row for row in result.candidates if not row["error"]]
    for met, colour, name in (
        (True, "#1b7f5c", "within the budget"),
        (False, "#c0392b", "over the budget"),
    ):
        some = [row for row in rows if row["met"] is met]
        x, y = [row["gzipped_bytes"] for row in some], [row["drop"] for row in some]
        axis.scatter(x, y, color=colour, label=name, zorder=3)
    best = front(rows)
    x, y = [row["gzipped_bytes"] for row in best], [row["drop"] for row in best]
    axis.plot(x, y, color="#888888", linewidth=1, zorder=2)
    for row in best:
        place = (row["gzipped_bytes"], row["drop"])
        axis.annotate(
            _label(row), place, xytext=(4, 4), textcoords="offset points", fontsize=7
        )
    axis.scatter(
        [result.chosen["gzipped_bytes"]],
        [result.chosen["drop"]],
        s=160,
        facecolors="none",
        edgecolors="black",
        label="taken",
        zorder=4,
    )
    axis.axhline(result.budget, color="#c0392b", linewidth=1, linestyle="--")
    axis.set_xscale("log")
    axis.set_xlabel("bytes of the gzipped .tflite file")
    axis.set_ylabel(f"points of {result.metric} lost, validation")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(fontsize=8, frameon=False)
