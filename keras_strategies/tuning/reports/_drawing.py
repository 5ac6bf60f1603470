"""Plots of a search on Matplotlib axes."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_strategies._internal import checks
from keras_strategies.tuning.reports import _records
from keras_strategies.tuning.reports._hyperparameter_axes import (
    Axis,
    CategoricalAxis,
    NumericAxis,
    hyperparameter_axes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, ORANGE, RED, GREY = "#0b6e99", "#e07b00", "#c0392b", "#9aa4ad"
_INACTIVE = -0.12  # height of inactive hyperparameters in parallel coordinates
_MAX_COLUMNS = 3


def _hide_frame(ax: "Axes") -> None:
    ax.spines[["top", "right"]].set_visible(False)


def _scale(ax: "Axes", values: Iterable[Any], which: str = "y") -> None:
    """Sets a log scale if a few values would compress all others."""
    # A diverged trial may be 1e6 times worse than the median.
    array = np.asarray(list(values), dtype=float)
    if len(array) and array.min() > 0 and array.max() > 50 * np.median(array):
        getattr(ax, f"set_{which}scale")("log")


def draw_history(ax: "Axes", oracle: Any, objective: str | None) -> None:
    name, direction = _records.resolve_objective(oracle, objective)
    completed: tuple[list[int], list[float]] = ([], [])
    pruned: tuple[list[int], list[float]] = ([], [])
    outside: tuple[list[int], list[float]] = ([], [])
    failed: list[int] = []
    best: list[tuple[int, float]] = []
    better = max if direction == "max" else min
    for number, row in enumerate(_records.trial_rows(oracle), start=1):
        value = _records.metric_of(row, name)
        if row["status"] in ("FAILED", "INVALID"):
            failed.append(number)
        elif row["status"] == "OUTSIDE" and value is not None:
            outside[0].append(number)
            outside[1].append(value)
        elif value is not None:
            x, y = pruned if row["status"] == "PRUNED" else completed
            x.append(number)
            y.append(value)
            best.append((number, better([value] + [b for _, b in best[-1:]])))
    # Constant until the trial that improves it.
    steps = zip(*best, strict=True)
    ax.plot(*steps, color=ORANGE, drawstyle="steps-post", label="best")
    ax.scatter(*completed, color=BLUE, s=22, label="completed", zorder=3)
    if pruned[0]:
        style = {"facecolors": "none", "edgecolors": BLUE, "zorder": 3}
        ax.scatter(*pruned, s=22, label="pruned", **style)
    if outside[0]:
        ax.scatter(*outside, s=12, label="outside the space", color="lightgray")
    if failed:
        # At the bottom, whatever the scale of the results is.
        style = {"transform": ax.get_xaxis_transform(), "color": RED, "marker": "x"}
        ax.scatter(failed, [0.02] * len(failed), s=22, label="failed", **style)
    _scale(ax, completed[1] + pruned[1])
    ax.set(xlabel="trial, in the order of start", ylabel=name)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend(frameon=False, fontsize=8)
    _hide_frame(ax)


def check_curves(oracle: Any) -> None:
    """Raises if there are no values of single epochs."""
    if not has_curves(oracle):
        checks.fail(
            "`tuner` must have recorded its objective after each epoch",
            tuner=type(oracle).__name__,
            fix="keras_strategies.tuning.Tuner does, for models that it trains.",
        )


def has_curves(oracle: Any) -> bool:
    """Whether the objective after each epoch was recorded."""
    return any(getattr(oracle, "curves", {}).values())


def draw_intermediate_values(ax: "Axes", oracle: Any) -> None:
    curves = oracle.curves
    name, direction = oracle.objective.name, oracle.objective.direction
    best = _records.best_row(_records.trial_rows(oracle), name, direction) or {}
    values: list[float] = []
    labels: set[str] = set()

    def label_once(text: str) -> str | None:
        """The label for the legend; `None` if a line has it already."""
        is_new = text not in labels
        labels.add(text)
        return text if is_new else None

    def draw_curve(trial_id: str, label: str, **style: Any) -> None:
        epochs, heights = zip(*sorted(curves[trial_id].items()), strict=True)
        numbers = [epoch + 1 for epoch in epochs]
        ax.plot(numbers, heights, label=label_once(label), **style)
        values.extend(heights)

    for trial_id in oracle.start_order:
        if not curves.get(trial_id) or trial_id == best.get("trial"):
            continue
        draw_curve(trial_id, "trial", color=BLUE, alpha=0.35, linewidth=1)
        if trial_id in oracle.pruned:
            epoch = max(curves[trial_id])
            ax.plot(
                epoch + 1, curves[trial_id][epoch], "o", color=BLUE, markersize=4,
                markerfacecolor="white", label=label_once("pruned"),
            )  # fmt: skip
    if curves.get(best.get("trial")):
        draw_curve(best["trial"], "best trial", color=ORANGE, linewidth=2)
    _scale(ax, values)
    ax.set(xlabel="epoch", ylabel=name)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend(frameon=False, fontsize=8)
    _hide_frame(ax)


def draw_importance(ax: "Axes", importance: Mapping[str, float], title: str) -> None:
    names = list(importance)[::-1]  # the first on top
    bars = ax.barh(names, [importance[name] for name in names], color=BLUE)
    ax.bar_label(bars, [f"{importance[name]:.0%}" for name in names], padding=3)
    ax.set(xlabel=f"importance for {title}", xlim=(0, 1.1))
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
    _hide_frame(ax)


def _ranked_rows(oracle: Any, objective: str | None) -> tuple[str, list[_records.Row]]:
    """Name of the metric, and the completed trials with it, the worst first."""
    name, direction = _records.resolve_objective(oracle, objective)
    rows = _records.rows_with_metric(oracle, name)
    rows.sort(key=lambda row: row[f"metric/{name}"], reverse=direction == "min")
    return name, rows


def draw_parallel_coordinates(
    ax: "Axes", oracle: Any, names: Sequence[str] | None, objective: str | None
) -> None:
    import matplotlib

    metric, rows = _ranked_rows(oracle, objective)
    axes = checked_axes(oracle, rows, names)
    key = f"metric/{metric}"
    # From the worst at the bottom to the best at the top.
    results = NumericAxis(metric, rows[0][key], rows[-1][key], False, None)
    colours = matplotlib.colormaps["viridis_r"]
    any_inactive = False
    for rank, row in enumerate(rows):
        heights = []
        for axis in axes:
            value_key = f"value/{axis.name}"
            any_inactive = any_inactive or value_key not in row
            is_active = value_key in row
            heights.append(axis.fraction(row[value_key]) if is_active else _INACTIVE)
        heights.append(results.fraction(row[key]))
        is_best = rank == len(rows) - 1
        ax.plot(
            range(len(heights)),
            heights,
            color=ORANGE if is_best else colours(rank / max(1, len(rows) - 1)),
            linewidth=2.5 if is_best else 1,
            alpha=1 if is_best else 0.55,
            zorder=3 if is_best else 2,
        )
    _draw_vertical_axes(ax, [*axes, results])
    low = _INACTIVE - 0.06 if any_inactive else -0.04
    ticks = [_INACTIVE] if any_inactive else []
    ax.set_yticks(ticks, ["not active"] * any_inactive)
    ax.set(xlim=(-0.1, len(axes) + 0.4), ylim=(low, 1.04))
    ax.tick_params(left=False)
    ax.spines[:].set_visible(False)
    ax.set_title("orange: the best trial; darker lines are better", fontsize=9)


def _draw_vertical_axes(ax: "Axes", axes: Sequence[Axis]) -> None:
    """Draws the axes of parallel coordinates with their ticks and names."""
    for position, axis in enumerate(axes):
        ax.axvline(position, color="black", linewidth=0.8, zorder=1)
        for height, text in axis.ticks():
            ax.annotate(
                text, (position, height), xytext=(3, 0), textcoords="offset points",
                va="center", fontsize=7, zorder=4,
                bbox={"facecolor": "white", "alpha": 0.75, "pad": 0.5, "linewidth": 0},
            )  # fmt: skip
    names = [axis.name for axis in axes]
    ax.set_xticks(range(len(axes)), names, rotation=25, ha="right")


def checked_axes(
    oracle: Any, rows: Sequence[_records.Row], names: Sequence[str] | None
) -> list[Axis]:
    """The axes to draw; a name that does not exist is an error."""
    searched = _records.hyperparameter_names(oracle, rows)
    for name in names or ():
        checks.choice("names", name, searched)
    axes = hyperparameter_axes(oracle, rows, names)
    if not axes:
        checks.fail("A hyperparameter must have been searched", names=names)
    return axes


def slices_size(count: int) -> tuple[float, float]:
    """Width and height in inches of a figure with so many slices."""
    columns = min(_MAX_COLUMNS, count)
    return 3.2 * columns + 1, 2.7 * math.ceil(count / columns)


def draw_slices(
    ax: "Axes", oracle: Any, names: Sequence[str] | None, objective: str | None
) -> None:
    """Draws one small plot for each hyperparameter in the area of `ax`."""
    metric, rows = _ranked_rows(oracle, objective)
    axes = checked_axes(oracle, rows, names)
    area = ax.get_subplotspec()
    if area is None:
        checks.fail(
            "`ax` must be a subplot, whose area is divided",
            ax=ax,
            fix="Make it with `plt.subplots()` or `figure.add_subplot()`.",
        )
    # As scikit-learn's PartialDependenceDisplay does it: `ax` bounds the grid.
    ax.set_axis_off()
    columns = min(_MAX_COLUMNS, len(axes))
    grid = area.subgridspec(math.ceil(len(axes) / columns), columns)
    order = {r["trial"]: k for k, r in enumerate(_records.trial_rows(oracle), start=1)}
    rng = np.random.default_rng(0)
    plots: list[Any] = []
    points = None
    for number, axis in enumerate(axes):
        first = plots[0] if plots else None
        plot = ax.figure.add_subplot(grid[number], sharey=first)
        plots.append(plot)
        active = [row for row in rows if f"value/{axis.name}" in row]
        points = plot.scatter(
            _slice_positions(plot, axis, active, rng),
            [row[f"metric/{metric}"] for row in active],
            c=[order[row["trial"]] for row in active],
            vmin=1,
            vmax=len(order),
            s=18,
            cmap="viridis_r",
        )
        _scale(plot, [row[f"metric/{metric}"] for row in rows])
        plot.set_xlabel(axis.name)
        _hide_frame(plot)
        if number % columns == 0:
            plot.set_ylabel(metric)
        else:
            plot.tick_params(labelleft=False)
    label = "trial, in the order of start"
    ax.figure.colorbar(points, ax=plots, label=label, pad=0.01)


def _slice_positions(
    plot: "Axes", axis: Axis, rows: Sequence[_records.Row], rng: np.random.Generator
) -> list[Any]:
    """Prepares the x axis of a slice and returns the positions of the rows on it."""
    values = [row[f"value/{axis.name}"] for row in rows]
    if isinstance(axis, CategoricalAxis):
        plot.set_xticks(range(len(axis.values)), [text for _, text in axis.ticks()])
        plot.set_xlim(-0.5, len(axis.values) - 0.5)
        # Spread, so that equal values do not hide each other.
        jitter = rng.uniform(-0.12, 0.12, len(values))
        return [axis.position(v) + d for v, d in zip(values, jitter, strict=True)]
    if axis.log:
        plot.set_xscale("log")
        if axis.high < 100 * axis.low:  # too few decades for labels at 10 and 100
            ticks = axis.tick_values()
            plot.set_xticks([], minor=True)
            plot.set_xticks(ticks, [axis.text(value) for value in ticks])
            plot.set_xlim(axis.low / 1.1, axis.high * 1.1)
    elif axis.is_integer:
        plot.xaxis.get_major_locator().set_params(integer=True)
    return values


def front_objectives(
    oracle: Any, names: Sequence[str] | None
) -> dict[str, _records.Direction]:
    """`{name: direction}` of the two metrics of a front."""
    if names is None:
        names = list(_records.objectives_of(oracle))[:2]
    if len(names) != 2 or names[0] == names[1]:
        checks.fail(
            "The front is drawn for two objectives",
            objectives=names,
            fix="Name two metrics: objectives=('val_accuracy', 'size').",
        )
    _records.completed_rows(oracle)
    return dict(_records.resolve_objective(oracle, name) for name in names)


def draw_pareto_front(
    ax: "Axes", oracle: Any, pair: Mapping[str, _records.Direction]
) -> None:
    objectives = _records.objectives_of(oracle)
    rows = [
        row
        for row in _records.completed_rows(oracle)
        if all(_records.metric_of(row, name) is not None for name in pair)
    ]
    # Among several objectives a point off the front of two may be on that of all.
    compared = objectives if set(pair) <= set(objectives) else pair
    front = _records.pareto_front(rows, compared)
    front_ids = {row["trial"] for row in front}
    x, y = (f"metric/{name}" for name in pair)
    dominated = [row for row in rows if row["trial"] not in front_ids]

    def scatter(points: Sequence[_records.Row], **style: Any) -> None:
        ax.scatter([r[x] for r in points], [r[y] for r in points], **style)

    scatter(dominated, color=GREY, s=20, label="dominated")
    if len(compared) == 2:
        line = sorted(front, key=lambda row: row[x])
        # The region that these trials attain is below and beside the points.
        step = "post" if next(iter(pair.values())) == "min" else "pre"
        ax.plot(
            [r[x] for r in line], [r[y] for r in line], color=ORANGE, linewidth=1,
            drawstyle=f"steps-{step}",
        )  # fmt: skip
    scatter(front, color=ORANGE, s=30, zorder=3, label="Pareto front")
    if len(front) <= 12:
        for row in front:
            ax.annotate(
                row["trial"], (row[x], row[y]), xytext=(4, 4), fontsize=7,
                textcoords="offset points",
            )  # fmt: skip
    words = {"min": "less is better", "max": "more is better"}
    labels = [f"{name} ({words[direction]})" for name, direction in pair.items()]
    ax.set(xlabel=labels[0], ylabel=labels[1])
    _scale(ax, [row[x] for row in rows], "x")
    _scale(ax, [row[y] for row in rows], "y")
    ax.legend(frameon=False, fontsize=8)
    _hide_frame(ax)
