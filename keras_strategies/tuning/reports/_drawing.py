"""Pictures of a search, on axes or figures that are given."""

import math

import numpy as np

from keras_strategies._internal import checks
from keras_strategies.tuning.reports import _axes as _dimensions
from keras_strategies.tuning.reports import _records

BLUE, ORANGE, RED, GREY = "#0b6e99", "#e07b00", "#c0392b", "#9aa4ad"
_INACTIVE = -0.12  # where parallel coordinates have what was not active
_COLUMNS = 3


def plain(axis):
    axis.spines[["top", "right"]].set_visible(False)


def _scale(axis, values, which="y"):
    """A log scale if a few values would squeeze all others."""
    values = np.asarray(values, dtype=float)
    if len(values) and values.min() > 0 and values.max() > 50 * np.median(values):
        getattr(axis, f"set_{which}scale")("log")


def history(axis, oracle, objective):
    name, direction = _records.chosen(oracle, objective)
    rows = _records.rows(oracle)
    points = {True: ([], []), False: ([], [])}
    failed, best = [], []
    better = max if direction == "max" else min
    for place, row in enumerate(rows, start=1):
        value = _records.value_of(row, name)
        if row["status"] in ("FAILED", "INVALID"):
            failed.append(place)
        elif value is not None:
            x, y = points[row["status"] == "PRUNED"]
            x.append(place)
            y.append(value)
            best.append((place, better([value] + [b for _, b in best[-1:]])))
    axis.plot(
        *zip(*best, strict=True), color=ORANGE, drawstyle="steps-post", label="best"
    )
    axis.scatter(*points[False], color=BLUE, s=22, label="completed", zorder=3)
    if points[True][0]:
        axis.scatter(
            *points[True], s=22, facecolors="none", edgecolors=BLUE, label="pruned",
            zorder=3,
        )  # fmt: skip
    if failed:
        axis.scatter(
            failed,
            [0.02] * len(failed),
            transform=axis.get_xaxis_transform(),
            color=RED,
            marker="x",
            s=22,
            label="failed",
        )
    _scale(axis, points[False][1] + points[True][1])
    axis.set(xlabel="trial, in the order of start", ylabel=name)
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.legend(frameon=False, fontsize=8)
    plain(axis)


def check_curves(oracle):
    if not has_curves(oracle):
        checks.fail(
            "`tuner` must have recorded its objective after each epoch",
            tuner=type(oracle).__name__,
            fix="keras_strategies.tuning.Tuner does, for models that it trains.",
        )


def has_curves(oracle):
    return any(getattr(oracle, "_curves", {}).values())


def intermediate(axis, oracle):
    curves = oracle._curves
    name = oracle.objective.name
    direction = oracle.objective.direction
    best = _records.best(_records.rows(oracle), name, direction) or {}
    values, labels = [], set()

    def line(key, text, **style):
        known = text in labels
        labels.add(text)
        epochs, heights = zip(*sorted(curves[key].items()), strict=True)
        axis.plot(
            [e + 1 for e in epochs], heights, label=None if known else text, **style
        )
        values.extend(heights)

    for key in oracle.start_order:
        if not curves.get(key) or key == best.get("trial"):
            continue
        line(key, "trial", color=BLUE, alpha=0.35, linewidth=1)
        if key in oracle.pruned:
            epoch = max(curves[key])
            axis.plot(
                epoch + 1, curves[key][epoch], "o", color=BLUE, markersize=4,
                markerfacecolor="white", label=None if "pruned" in labels else "pruned",
            )  # fmt: skip
            labels.add("pruned")
    if curves.get(best.get("trial")):
        line(best["trial"], "best trial", color=ORANGE, linewidth=2)
    _scale(axis, values)
    axis.set(xlabel="epoch", ylabel=name)
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.legend(frameon=False, fontsize=8)
    plain(axis)


def importance(axis, shares, title):
    names = list(shares)[::-1]
    bars = axis.barh(names, [shares[name] for name in names], color=BLUE)
    axis.bar_label(bars, [f"{shares[name]:.0%}" for name in names], padding=3)
    axis.set(xlabel=f"share of the differences in {title}", xlim=(0, 1.1))
    axis.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
    plain(axis)


def _ranked(oracle, objective):
    """Name of the metric, and the completed trials with it, the worst first."""
    name, direction = _records.chosen(oracle, objective)
    rows = [
        row
        for row in _records.completed(oracle)
        if _records.value_of(row, name) is not None
    ]
    rows.sort(key=lambda row: row[f"metric/{name}"], reverse=direction == "min")
    return name, rows


def parallel(axis, oracle, names, objective):
    import matplotlib

    metric, rows = _ranked(oracle, objective)
    made = axes_named(oracle, rows, names)
    results = _dimensions.Numbers(
        metric,
        rows[0][f"metric/{metric}"],
        rows[-1][f"metric/{metric}"],
        False,
        None,
    )  # from the worst at the bottom to the best at the top
    inactive = False
    colours = matplotlib.colormaps["viridis_r"]
    for rank, row in enumerate(rows):
        heights = []
        for one in made:
            active = f"value/{one.name}" in row
            inactive = inactive or not active
            heights.append(
                one.fraction(row[f"value/{one.name}"]) if active else _INACTIVE
            )
        heights.append(results.fraction(row[f"metric/{metric}"]))
        is_best = rank == len(rows) - 1
        axis.plot(
            range(len(heights)),
            heights,
            color=ORANGE if is_best else colours(rank / max(1, len(rows) - 1)),
            linewidth=2.5 if is_best else 1,
            alpha=1 if is_best else 0.55,
            zorder=3 if is_best else 2,
        )
    for place, one in enumerate([*made, results]):
        axis.axvline(place, color="black", linewidth=0.8, zorder=1)
        for height, text in one.marks():
            axis.annotate(
                text, (place, height), xytext=(3, 0), textcoords="offset points",
                va="center", fontsize=7, zorder=4,
                bbox={"facecolor": "white", "alpha": 0.75, "pad": 0.5, "linewidth": 0},
            )  # fmt: skip
    axis.set_xticks(
        range(len(made) + 1), [*(one.name for one in made), metric], rotation=25,
        ha="right",
    )  # fmt: skip
    low = _INACTIVE - 0.06 if inactive else -0.04
    axis.set_yticks([_INACTIVE] if inactive else [], ["not active"] * inactive)
    axis.set(xlim=(-0.1, len(made) + 0.4), ylim=(low, 1.04))
    axis.tick_params(left=False)
    axis.spines[:].set_visible(False)
    axis.set_title("orange: the best trial; the darker, the better", fontsize=9)


def axes_named(oracle, rows, names):
    """The axes to draw; a name that does not exist is an error."""
    known = _records.value_names(oracle, rows)
    for name in names or ():
        checks.choice("names", name, known)
    made = _dimensions.dimensions(oracle, rows, names)
    if not made:
        checks.fail("A hyperparameter must have been searched", names=names)
    return made


def slices_size(count):
    """Width and height in inches of a figure with so many slices."""
    columns = min(_COLUMNS, count)
    return 3.2 * columns + 1, 2.7 * math.ceil(count / columns)


def slices(figure, oracle, names, objective):
    metric, rows = _ranked(oracle, objective)
    made = axes_named(oracle, rows, names)
    order = {row["trial"]: k for k, row in enumerate(_records.rows(oracle), start=1)}
    columns = min(_COLUMNS, len(made))
    lines = math.ceil(len(made) / columns)
    grid = figure.subplots(lines, columns, sharey=True, squeeze=False)
    chance = np.random.default_rng(0)
    drawn = None
    for one, axis in zip(made, grid.flat, strict=False):
        found = [row for row in rows if f"value/{one.name}" in row]
        values = [row[f"value/{one.name}"] for row in found]
        if isinstance(one, _dimensions.Labels):
            spread = chance.uniform(-0.12, 0.12, len(values))
            values = [one.position(v) + s for v, s in zip(values, spread, strict=True)]
            axis.set_xticks(range(len(one.values)), [t for _, t in one.marks()])
            axis.set_xlim(-0.5, len(one.values) - 0.5)
        elif one.log:
            axis.set_xscale("log")
        elif one.whole:
            axis.xaxis.get_major_locator().set_params(integer=True)
        drawn = axis.scatter(
            values,
            [row[f"metric/{metric}"] for row in found],
            c=[order[row["trial"]] for row in found],
            vmin=1,
            vmax=len(order),
            s=18,
            cmap="viridis_r",
        )
        _scale(axis, [row[f"metric/{metric}"] for row in rows])
        axis.set_xlabel(one.name)
        plain(axis)
    for axis in grid[:, 0]:
        axis.set_ylabel(metric)
    for axis in grid.flat[len(made) :]:
        axis.set_visible(False)
    figure.colorbar(drawn, ax=grid, label="trial, in the order of start", pad=0.01)


def two(oracle, names):
    """`{name: direction}` of the two metrics of a front."""
    if names is None:
        names = list(_records.objectives(oracle))[:2]
    if len(names) != 2 or names[0] == names[1]:
        checks.fail(
            "The front is drawn for two objectives",
            objectives=names,
            fix="Name two metrics: objectives=('val_accuracy', 'size').",
        )
    _records.completed(oracle)
    return dict(_records.chosen(oracle, name) for name in names)


def pareto(axis, oracle, both):
    objectives = _records.objectives(oracle)
    rows = [
        row
        for row in _records.completed(oracle)
        if all(_records.value_of(row, name) is not None for name in both)
    ]
    whole = objectives if set(both) <= set(objectives) else both
    front = _records.front(rows, whole)
    keys = {row["trial"] for row in front}
    x, y = (f"metric/{name}" for name in both)
    others = [row for row in rows if row["trial"] not in keys]
    axis.scatter(
        [r[x] for r in others], [r[y] for r in others], color=GREY, s=20,
        label="beaten",
    )  # fmt: skip
    if len(whole) == 2:
        line = sorted(front, key=lambda row: row[x])
        # What is possible with the trials at hand is below and beside the points.
        first = "post" if list(both.values())[0] == "min" else "pre"
        axis.plot(
            [r[x] for r in line], [r[y] for r in line], color=ORANGE, linewidth=1,
            drawstyle=f"steps-{first}",
        )  # fmt: skip
    axis.scatter(
        [r[x] for r in front], [r[y] for r in front], color=ORANGE, s=30, zorder=3,
        label="Pareto front",
    )  # fmt: skip
    if len(front) <= 12:
        for row in front:
            axis.annotate(
                row["trial"], (row[x], row[y]), xytext=(4, 4), fontsize=7,
                textcoords="offset points",
            )  # fmt: skip
    words = {"min": "less is better", "max": "more is better"}
    labels = [f"{name} ({words[way]})" for name, way in both.items()]
    axis.set(xlabel=labels[0], ylabel=labels[1])
    _scale(axis, [row[x] for row in rows], "x")
    _scale(axis, [row[y] for row in rows], "y")
    axis.legend(frameon=False, fontsize=8)
    plain(axis)
