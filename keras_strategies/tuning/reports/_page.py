"""HTML page of a search."""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from keras_strategies._internal import html_page
from keras_strategies._internal.optional import require
from keras_strategies.tuning._space import format_duration, format_value
from keras_strategies.tuning.reports import _drawing, _records
from keras_strategies.tuning.reports._hyperparameter_axes import (
    NumericAxis,
    hyperparameter_axes,
)
from keras_strategies.tuning.reports._importance import (
    MIN_TRIALS,
    hyperparameter_importance,
)

_MAX_ROWS = 300
_FAILED = ("FAILED", "INVALID")

Rows = Sequence[_records.Row]
Objectives = Mapping[str, _records.Direction]


def require_libraries(purpose: str) -> None:
    """Raises `ImportError` if a library that `build` needs is missing."""
    for module in ("matplotlib.figure", "optuna", "sklearn"):
        require(module, purpose)


def build(oracle: Any, title: str) -> str:
    """Returns the page."""
    rows = _records.trial_rows(oracle)
    completed = _records.completed_rows(oracle)
    objectives = _records.objectives_of(oracle)
    algorithm = getattr(oracle, "algorithm", None) or type(oracle).__name__
    parts = [
        _cards(rows, completed, objectives),
        html_page.warnings("Worth a look", list(search_warnings(oracle, rows))),
        _best(oracle, completed, objectives),
        *_plots(oracle, completed, objectives),
        html_page.section("Trials", _trials(oracle, rows, objectives)),
        html_page.section("Failures", _failures(rows)),
    ]
    words = " and ".join(f"{n} ({direction})" for n, direction in objectives.items())
    plural = "s" * (len(objectives) > 1)
    subtitle = [f"{algorithm} search", f"objective{plural}: {words}"]
    return html_page.page(title, subtitle, parts)


def _cards(rows: Rows, completed: Rows, objectives: Objectives) -> str:
    cards: list[tuple[Any, str]] = []
    for name, direction in objectives.items():
        best = _records.best_row(completed, name, direction)
        if best is not None:
            text = f"best {name}, trial {best['trial']}"
            cards.append((format_value(_records.metric_of(best, name)), text))
    failed = sum(row["status"] in _FAILED for row in rows)
    pruned = sum(row["status"] == "PRUNED" for row in rows)
    cards.append((len(rows), f"trials, {pruned} pruned, {failed} failed"))
    seconds = [row["seconds"] for row in rows if row["seconds"] is not None]
    if seconds:
        cards.append((format_duration(sum(seconds)), "in all trials together"))
    return html_page.cards(cards)


def search_warnings(oracle: Any, rows: Rows) -> Iterator[str]:
    """Yields what to look at: failures, and a best value at the end of its range."""
    failed = sum(row["status"] in _FAILED for row in rows)
    if failed:
        yield f"{failed} of {len(rows)} trials failed; their messages are at the end."
    outside = [row["trial"] for row in rows if row["status"] == "OUTSIDE"]
    if outside:
        yield (
            f"{len(outside)} trials lie outside the present space, which has changed "
            f"since: {', '.join(outside)}. They do not count as results."
        )
    objectives = _records.objectives_of(oracle)
    if len(objectives) > 1:
        return
    completed = [row for row in rows if _records.is_complete(row)]
    best = _records.best_row(completed, *next(iter(objectives.items())))
    if best is None:
        return
    for axis in hyperparameter_axes(oracle, completed):
        value = best.get(f"value/{axis.name}")
        if value is None or not isinstance(axis, NumericAxis):
            continue
        fraction = axis.fraction(value)
        if axis.low < axis.high and not 0.02 < fraction < 0.98:
            end = "lower" if fraction < 0.5 else "upper"
            low, high = format_value(axis.low), format_value(axis.high)
            yield (
                f"The best {axis.name}, {format_value(value)}, is at the {end} end of "
                f"its range {low} to {high}: a wider range may hold a better one."
            )


def _best(oracle: Any, completed: Rows, objectives: Objectives) -> str:
    names = _records.hyperparameter_names(oracle, completed)
    if len(objectives) == 1:
        best = _records.best_row(completed, *next(iter(objectives.items()))) or {}
        values = _records.values_of(best)
        rows = [[name, format_value(values[name])] for name in names if name in values]
        title = f"The best trial, {best['trial']}"
        return html_page.section(
            title, html_page.table(["hyperparameter", "value"], rows)
        )
    front = _records.pareto_front(completed, objectives)
    table = _table(front, names, list(objectives))
    return html_page.section("Pareto front: trials that no other one beats", table)


def _plots(oracle: Any, completed: Rows, objectives: Objectives) -> Iterator[str]:
    for name in objectives:
        yield _plot(f"History of {name}", (8, 3.6), _drawing.draw_history, oracle, name)
    if len(objectives) > 1:
        pair = _drawing.front_objectives(oracle, None)
        title = " against ".join(pair)
        yield _plot(title, (6.5, 4.5), _drawing.draw_pareto_front, oracle, pair)
    if _drawing.has_curves(oracle):
        title = f"{oracle.objective.name} after each epoch"
        yield _plot(title, (8, 3.6), _drawing.draw_intermediate_values, oracle)
    axes = hyperparameter_axes(oracle, completed)
    if not axes:
        return
    for name in objectives:
        if len(completed) >= MIN_TRIALS:
            importance = hyperparameter_importance(oracle, name)
            size = (8, 1 + 0.32 * len(importance))
            title = f"Importance for {name} (fANOVA)"
            yield _plot(title, size, _drawing.draw_importance, importance, name)
        size = (max(8, 1.2 * len(axes) + 1.2), 4.4)
        draw = _drawing.draw_parallel_coordinates
        yield _plot(f"Combinations and {name}", size, draw, oracle, None, name)
        title = f"{name} over each hyperparameter"
        size = _drawing.slices_size(len(axes))
        yield _plot(title, size, _drawing.draw_slices, oracle, None, name)


def _plot(
    title: str, size: tuple[float, float], draw: Callable[..., None], *args: Any
) -> str:
    """A section with what `draw` draws on axes."""
    from matplotlib.figure import Figure

    # Without pyplot, which would keep the figure and may need a display.
    figure = Figure(figsize=size, layout="constrained")
    draw(figure.subplots(), *args)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110)
    return html_page.section(title, html_page.image(file.getvalue(), title, True))


def ranked(rows: Rows, objectives: Objectives) -> list[_records.Row]:
    """All rows: those with a result first, the best by the first objective on top."""
    name, direction = next(iter(objectives.items()))
    sign = -1 if direction == "max" else 1

    def order(row: _records.Row) -> tuple[bool, float]:
        value = _records.metric_of(row, name)
        return (value is None, 0 if value is None else sign * value)

    return sorted(rows, key=order)


def _trials(oracle: Any, rows: Rows, objectives: Objectives) -> str:
    ordered = ranked(rows, objectives)[:_MAX_ROWS]
    names = _records.hyperparameter_names(oracle, rows)
    note = ""
    if len(rows) > _MAX_ROWS:
        note = f'<p class="soft">The first {_MAX_ROWS} of {len(rows)} trials.</p>'
    return note + _table(ordered, names, list(objectives), status=True)


def _table(
    rows: Rows, names: Sequence[str], metrics: Sequence[str], status: bool = False
) -> str:
    heads = ["trial", *(["status"] if status else []), *map(html_page.Right, metrics)]
    heads += [html_page.Right("epoch"), html_page.Right("time"), *names]
    return html_page.table(heads, [_cells(row, names, metrics, status) for row in rows])


def _cells(
    row: _records.Row, names: Sequence[str], metrics: Sequence[str], status: bool
) -> Iterator[Any]:
    yield row["trial"]
    if status:
        yield row["status"].lower()
    for metric in metrics:
        value = _records.metric_of(row, metric)
        yield html_page.Right("" if value is None else format_value(value))
    yield html_page.Right("" if row["best_epoch"] is None else row["best_epoch"])
    seconds = row["seconds"]
    yield html_page.Right("" if seconds is None else format_duration(seconds))
    values = _records.values_of(row)
    for name in names:
        yield format_value(values[name]) if name in values else ""


def _failures(rows: Rows) -> str:
    """The messages, once for all trials whose messages end with the same line."""
    groups: dict[str, tuple[str, list[str]]] = {}
    for row in rows:
        if row["status"] in _FAILED:
            message = (row["message"] or "").strip() or "There is no message."
            last_line = message.splitlines()[-1]
            groups.setdefault(last_line, (message, []))[1].append(row["trial"])
    return "\n".join(
        f"<details><summary>{html_page.text(line)} "
        f"(trials {', '.join(trials)})</summary>"
        f"<pre>{html_page.text(message)}</pre></details>"
        for line, (message, trials) in groups.items()
    )
