"""Records of a search as rows, from any tuner or oracle of KerasTuner."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import keras_tuner

from keras_strategies._internal import checks
from keras_strategies.tuning import _space
from keras_strategies.tuning._private import bases
from keras_strategies.tuning._space import Trial

Row: TypeAlias = dict[str, Any]
BaseTuner: TypeAlias = keras_tuner.engine.base_tuner.BaseTuner
Direction: TypeAlias = Literal["min", "max"]
#: What every function of the results takes. For type checkers the classes of this
#: package have other bases than those of KerasTuner.
TunerOrOracle: TypeAlias = BaseTuner | keras_tuner.Oracle | bases.Tuner | bases.Oracle

# Hyperband's own entries among the hyperparameters begin with this.
_INTERNAL = "tuner/"
_VALUE, _METRIC = "value/", "metric/"


def oracle_of(tuner: TunerOrOracle) -> Any:
    """The oracle of a tuner; an oracle is returned as it is."""
    if isinstance(tuner, keras_tuner.Oracle):
        return tuner
    return checks.instance("tuner", tuner, (BaseTuner, keras_tuner.Oracle)).oracle


def trial_rows(oracle: Any) -> list[Row]:
    """One dict for each trial, in the order of their start; see `SearchReport`."""
    return [_row(oracle, oracle.trials[key]) for key in oracle.start_order]


def _row(oracle: Any, trial: Trial) -> Row:
    is_completed = trial.status == "COMPLETED"
    values = trial.hyperparameters.values.items()
    metrics = sorted(trial.metrics.metrics) if is_completed else ()
    step = trial.best_step if is_completed else None
    return {
        "trial": trial.trial_id,
        "status": _status(oracle, trial),
        "score": trial.score,
        "best_epoch": None if step is None else step + 1,
        # Oracles of KerasTuner have no `seconds`.
        "seconds": getattr(oracle, "seconds", {}).get(trial.trial_id),
        "message": trial.message,
        **{_VALUE + name: _space.from_label(value) for name, value in values},
        **{_METRIC + name: best_metric(trial, name) for name in metrics},
    }


def _status(oracle: Any, trial: Trial) -> str:
    # Oracles of KerasTuner have none of these.
    if trial.trial_id in getattr(oracle, "outside", ()):
        return "OUTSIDE"
    if _space.is_infeasible(trial):
        return "INFEASIBLE"
    is_pruned = trial.trial_id in getattr(oracle, "pruned", ())
    return "PRUNED" if is_pruned and trial.status == "COMPLETED" else trial.status


def best_metric(trial: Trial, name: str) -> float:
    """The best value of a metric of a trial."""
    return float(trial.metrics.get_best_value(name))


def values_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the active hyperparameters of a row, by name."""
    return _without_prefix(row, _VALUE)


def metrics_of(row: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of a row, by name."""
    return _without_prefix(row, _METRIC)


def _without_prefix(row, prefix):
    return {k.removeprefix(prefix): v for k, v in row.items() if k.startswith(prefix)}


def metric_of(row: Mapping[str, Any], name: str) -> float | None:
    """A metric of a completed trial, `None` if it has none of that name."""
    return row.get(_METRIC + name)


def is_complete(row: Mapping[str, Any]) -> bool:
    """Whether the trial of a row has a result."""
    return row["status"] in ("COMPLETED", "PRUNED") and row["score"] is not None


def completed_rows(oracle: Any) -> list[Row]:
    """The rows of completed trials, or an error that says why there are none."""
    rows = [row for row in trial_rows(oracle) if is_complete(row)]
    if not rows:
        checks.fail(
            "`tuner` must have a completed trial",
            trials=len(oracle.trials),
            fix="Call `tuner.search` first; of a finished search make the tuner again "
            "with the same folder.",
        )
    return rows


def rows_with_metric(oracle: Any, name: str) -> list[Row]:
    """The rows of completed trials that have a metric."""
    rows = completed_rows(oracle)
    return [row for row in rows if metric_of(row, name) is not None]


def objectives_of(oracle: Any) -> dict[str, Direction]:
    """`{name: direction}` of the objectives."""
    objectives = getattr(oracle.objective, "objectives", None) or [oracle.objective]
    return {objective.name: objective.direction for objective in objectives}


def resolve_objective(oracle: Any, name: str | None) -> tuple[str, Direction]:
    """Name and direction of an objective or metric; the first objective for `None`."""
    objectives = objectives_of(oracle)
    if name is None:
        name = next(iter(objectives))
    if name in objectives:
        return name, objectives[name]
    for trial in oracle.trials.values():
        if trial.metrics.exists(name):
            return name, trial.metrics.get_direction(name)
    metrics = {m for trial in oracle.trials.values() for m in trial.metrics.metrics}
    return checks.choice("objective", name, sorted({*objectives, *metrics}))


def best_row(rows: Iterable[Row], name: str, direction: Direction) -> Row | None:
    """The row with the best value of a metric, `None` if no row has it."""
    candidates = [row for row in rows if metric_of(row, name) is not None]
    sign = -1 if direction == "max" else 1
    return min(candidates, key=lambda row: sign * row[_METRIC + name], default=None)


def pareto_front(rows: Iterable[Row], objectives: Mapping[str, Direction]) -> list[Row]:
    """The rows that no other row dominates, by the first objective, the best first."""
    signs = [-1 if direction == "max" else 1 for direction in objectives.values()]
    points = []
    for row in rows:
        values = [metric_of(row, name) for name in objectives]
        if None not in values:
            pairs = zip(values, signs, strict=True)
            points.append(([value * sign for value, sign in pairs], row))
    front = [
        (point, row)
        for point, row in points
        if not any(_dominates(rival, point) for rival, _ in points)
    ]
    return [row for _, row in sorted(front, key=lambda pair: pair[0])]


def _dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether point `a` is nowhere larger than `b` and somewhere smaller."""
    return all(p <= q for p, q in zip(a, b, strict=True)) and a != b


def hyperparameter_names(oracle: Any, rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Names of the hyperparameters: those of the space first, in its order."""
    names = [hp.name for hp in oracle.hyperparameters.space]
    for row in rows:
        names += values_of(row)
    return [n for n in dict.fromkeys(names) if not n.startswith(_INTERNAL)]
