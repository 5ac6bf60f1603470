"""The contents of the report of a search."""

import io

from keras_strategies._internal import pages
from keras_strategies._internal.optional import require
from keras_strategies.tuning._space.text import duration, number
from keras_strategies.tuning.reports import _axes as _dimensions
from keras_strategies.tuning.reports import _drawing, _records
from keras_strategies.tuning.reports._importance import (
    LEAST,
    hyperparameter_importance,
)

MOST_ROWS = 300
_FAILED = ("FAILED", "INVALID")


def require_libraries(purpose):
    """Raises `ImportError` if a library that `build` needs is missing."""
    for module in ("matplotlib.figure", "optuna", "sklearn"):
        require(module, purpose)


def build(oracle, title):
    rows = _records.rows(oracle)
    completed = _records.completed(oracle)
    objectives = _records.objectives(oracle)
    algorithm = getattr(oracle, "algorithm", None) or type(oracle).__name__
    several = len(objectives) > 1
    parts = [
        _cards(rows, completed, objectives),
        pages.warnings("Worth a look", list(_warnings(oracle, rows, completed))),
        _best(oracle, completed, objectives),
        *_pictures(oracle, completed, objectives),
        pages.section("Trials", _trials(oracle, rows, objectives)),
        pages.section("Failures", _failures(rows)),
    ]
    words = " and ".join(f"{name} ({way})" for name, way in objectives.items())
    subtitle = [f"{algorithm} search", f"objective{'s' * several}: {words}"]
    return pages.page(title, subtitle, parts)


def _cards(rows, completed, objectives):
    cards = []
    for name, direction in objectives.items():
        best = _records.best(completed, name, direction)
        if best is not None:
            text = f"best {name}, trial {best['trial']}"
            cards.append((number(_records.value_of(best, name)), text))
    failed = sum(row["status"] in _FAILED for row in rows)
    pruned = sum(row["status"] == "PRUNED" for row in rows)
    cards.append((len(rows), f"trials, {pruned} pruned, {failed} failed"))
    seconds = [row["seconds"] for row in rows if row["seconds"] is not None]
    if seconds:
        cards.append((duration(sum(seconds)), "in all trials together"))
    return pages.cards(cards)


def _warnings(oracle, rows, completed):
    failed = sum(row["status"] in _FAILED for row in rows)
    if failed:
        yield f"{failed} of {len(rows)} trials failed; their messages are at the end."
    objectives = _records.objectives(oracle)
    if len(objectives) > 1:
        return
    best = _records.best(completed, *next(iter(objectives.items())))
    for axis in _dimensions.dimensions(oracle, completed):
        key = f"value/{axis.name}"
        if best is None or key not in best or not isinstance(axis, _dimensions.Numbers):
            continue
        place = axis.fraction(best[key])
        if axis.low < axis.high and not 0.02 < place < 0.98:
            end = "lower" if place < 0.5 else "upper"
            yield (
                f"The best {axis.name}, {number(best[key])}, is at the {end} end of "
                f"its range {number(axis.low)} to {number(axis.high)}: a wider range "
                "may hold a better one."
            )


def _best(oracle, completed, objectives):
    names = _records.value_names(oracle, completed)
    if len(objectives) == 1:
        best = _records.best(completed, *next(iter(objectives.items())))
        rows = [
            [name, number(best[f"value/{name}"])]
            for name in names
            if f"value/{name}" in best
        ]
        title = f"The best trial, {best['trial']}"
        return pages.section(title, pages.table(["hyperparameter", "value"], rows))
    front = _records.front(completed, objectives)
    table = _table(front, names, list(objectives))
    return pages.section("Pareto front: trials that no other one beats", table)


def _pictures(oracle, completed, objectives):
    for name in objectives:
        yield _picture(f"History of {name}", 8, 3.6, _drawing.history, oracle, name)
    if len(objectives) > 1:
        both = _drawing.two(oracle, None)
        title = " against ".join(both)
        yield _picture(title, 6.5, 4.5, _drawing.pareto, oracle, both)
    if _drawing.has_curves(oracle):
        title = f"{oracle.objective.name} after each epoch"
        yield _picture(title, 8, 3.6, _drawing.intermediate, oracle)
    axes = _dimensions.dimensions(oracle, completed)
    if not axes:
        return
    for name in objectives:
        if len(completed) >= LEAST:
            shares = hyperparameter_importance(oracle, name)
            height = 1 + 0.32 * len(shares)
            title = f"Importance for {name} (fANOVA)"
            yield _picture(title, 8, height, _drawing.importance, shares, name)
        width = max(8, 1.2 * len(axes) + 1.2)
        title = f"Combinations and {name}"
        yield _picture(title, width, 4.4, _drawing.parallel, oracle, None, name)
        size = _drawing.slices_size(len(axes))
        yield _picture(
            f"{name} over each hyperparameter",
            *size,
            _drawing.slices,
            oracle,
            None,
            name,
            whole=True,
        )


def _picture(title, width, height, draw, *given, whole=False):
    """A section with what `draw` draws on axes, or on the whole figure."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    draw(figure if whole else figure.subplots(), *given)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110)
    return pages.section(title, pages.image(file.getvalue(), title))


def _trials(oracle, rows, objectives):
    """The completed trials, the best first, then the others."""
    name, direction = next(iter(objectives.items()))
    sign = -1 if direction == "max" else 1

    def order(row):
        value = _records.value_of(row, name)
        return (value is None, 0 if value is None else sign * value)

    ordered = sorted(rows, key=order)[:MOST_ROWS]
    names = _records.value_names(oracle, rows)
    note = ""
    if len(rows) > MOST_ROWS:
        note = f'<p class="soft">The first {MOST_ROWS} of {len(rows)} trials.</p>'
    return note + _table(ordered, names, list(objectives), status=True)


def _table(rows, names, metrics, status=False):
    heads = ["trial", *(["status"] if status else []), *map(pages.Right, metrics)]
    heads += [pages.Right("epoch"), pages.Right("time"), *names]
    return pages.table(heads, [_cells(row, names, metrics, status) for row in rows])


def _cells(row, names, metrics, status):
    yield row["trial"]
    if status:
        yield row["status"].lower()
    for metric in metrics:
        value = _records.value_of(row, metric)
        yield pages.Right("" if value is None else number(value))
    yield pages.Right("" if row["best_epoch"] is None else row["best_epoch"])
    yield pages.Right("" if row["seconds"] is None else duration(row["seconds"]))
    for name in names:
        yield number(row[f"value/{name}"]) if f"value/{name}" in row else ""


def _failures(rows):
    """The messages, once for all trials that ended with the same line."""
    grouped = {}
    for row in rows:
        if row["status"] in _FAILED:
            message = (row["message"] or "").strip() or "There is no message."
            key = message.splitlines()[-1]
            grouped.setdefault(key, (message, []))[1].append(row["trial"])
    return "\n".join(
        f"<details><summary>{pages.text(line)} (trials {', '.join(trials)})</summary>"
        f"<pre>{pages.text(message)}</pre></details>"
        for line, (message, trials) in grouped.items()
    )
