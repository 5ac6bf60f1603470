"""Results of another search, from whatever holds them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from keras_strategies._internal import checks
from keras_strategies.tuning import _space
from keras_strategies.tuning.reports import SearchReport, values_of

#: A tuner or oracle, rows as those of `SearchReport`, or a data frame of them.
WarmStart: TypeAlias = Any

_STATUSES = ("COMPLETED", "PRUNED", "OUTSIDE")


def read_results(
    source: WarmStart, objectives: Sequence[str], space: _space.Space
) -> list[tuple[dict[str, Any], list[float]]]:
    """Returns the values and results of completed trials of another search.

    Args:
        source: The search, its results, or a data frame of them.
        objectives: Names of the objectives, which the results must have.
        space: The space that is searched now; other names are left out, and values
            that it does not have.

    Raises:
        ValueError: If no trial has the objectives and a value of the space.
    """
    rows = list(_rows(source))
    results = []
    for row in rows:
        scores = _scores(row, objectives)
        values = _active_values(row, space)
        if scores is not None and values:
            results.append((values, scores))
    if not results:
        checks.fail(
            "`warm_start` must have completed trials with the objective and values of "
            "the space",
            objectives=list(objectives),
            trials=len(rows),
            names=sorted({name for row in rows for name in values_of(row)}),
        )
    return results


def _rows(source: Any) -> Iterable[Mapping[str, Any]]:
    if hasattr(source, "to_dict") and hasattr(source, "columns"):  # a data frame
        return source.to_dict("records")
    if isinstance(source, Sequence) and not isinstance(source, str):
        return source
    return SearchReport(source)


def _scores(row: Mapping[str, Any], objectives: Sequence[str]) -> list[float] | None:
    if row.get("status", "COMPLETED") not in _STATUSES:
        return None
    scores = [row.get(f"metric/{name}") for name in objectives]
    if len(objectives) == 1 and scores[0] is None:
        scores = [row.get("score")]
    if any(score is None or not math.isfinite(score) for score in scores):
        return None
    return [float(score) for score in scores if score is not None]


def _active_values(row: Mapping[str, Any], space: _space.Space) -> dict[str, Any]:
    values: dict[str, Any] = {}
    known = values_of(row)
    for hp in space.space:
        if (
            hp.name in values
            or hp.name not in known
            or not _space.is_active(hp, values)
        ):
            continue
        value = _space.matching_value(hp, known[hp.name])
        if value is not None:
            values[hp.name] = value
    return values
