"""What a search recorded, from any tuner or oracle of KerasTuner."""

import keras_tuner
from keras_tuner.engine.base_tuner import BaseTuner

from keras_strategies._internal import checks
from keras_strategies.tuning._space import space as _space

# Hyperband's own entries stand among the hyperparameters under this prefix.
_INTERNAL = "tuner/"


def oracle_of(tuner):
    if isinstance(tuner, keras_tuner.Oracle):
        return tuner
    return checks.instance("tuner", tuner, (BaseTuner, keras_tuner.Oracle)).oracle


def rows(oracle):
    """One dict a trial, in the order of their start; see `Tuner.results`."""
    return [_row(oracle, oracle.trials[key]) for key in oracle.start_order]


def _row(oracle, trial):
    completed = trial.status == "COMPLETED"
    pruned = completed and trial.trial_id in getattr(oracle, "pruned", ())
    values = trial.hyperparameters.values.items()
    metrics = sorted(trial.metrics.metrics) if completed else ()
    step = trial.best_step if completed else None
    return {
        "trial": trial.trial_id,
        "status": "PRUNED" if pruned else trial.status,
        "score": trial.score,
        "best_epoch": None if step is None else step + 1,
        "seconds": getattr(oracle, "seconds", {}).get(trial.trial_id),
        "message": trial.message,
        **{f"value/{name}": _space.decode(value) for name, value in values},
        **{f"metric/{name}": metric(trial, name) for name in metrics},
    }


def metric(trial, name):
    return float(trial.metrics.get_best_value(name))


def is_complete(row):
    return row["status"] in ("COMPLETED", "PRUNED") and row["score"] is not None


def completed(oracle):
    """The rows of completed trials, or an error that says why there are none."""
    found = [row for row in rows(oracle) if is_complete(row)]
    if not found:
        checks.fail(
            "`tuner` must have a completed trial",
            trials=len(oracle.trials),
            fix="Call `tuner.search` first; of a finished search make the tuner again "
            "with the same folder.",
        )
    return found


def objectives(oracle):
    """`{name: direction}` of the objectives."""
    found = getattr(oracle.objective, "objectives", None) or [oracle.objective]
    return {objective.name: objective.direction for objective in found}


def chosen(oracle, name):
    """Name and direction of an objective or metric; the first objective for None."""
    known = objectives(oracle)
    if name is None:
        name = next(iter(known))
    if name in known:
        return name, known[name]
    for trial in oracle.trials.values():
        if trial.metrics.exists(name):
            return name, trial.metrics.get_direction(name)
    metrics = {m for trial in oracle.trials.values() for m in trial.metrics.metrics}
    return checks.choice("objective", name, sorted({*known, *metrics}))


def value_of(row, name):
    """A metric of a completed trial, None if it has none of that name."""
    return row.get(f"metric/{name}")


def best(rows, name, direction):
    """The row with the best value of a metric."""
    known = [row for row in rows if value_of(row, name) is not None]
    sign = -1 if direction == "max" else 1
    return min(known, key=lambda row: sign * value_of(row, name), default=None)


def front(rows, objectives):
    """The rows that no other one beats in every objective, by the first objective."""
    points = []
    for row in rows:
        values = [value_of(row, name) for name in objectives]
        if None not in values:
            signs = [-1 if way == "max" else 1 for way in objectives.values()]
            pairs = zip(values, signs, strict=True)
            points.append(([value * sign for value, sign in pairs], row))
    found = [
        (point, row)
        for point, row in points
        if not any(_dominates(other, point) for other, _ in points)
    ]
    return [row for _, row in sorted(found, key=lambda pair: pair[0])]


def _dominates(a, b):
    return all(p <= q for p, q in zip(a, b, strict=True)) and a != b


def value_names(oracle, rows):
    """Names of the hyperparameters: those of the space first, in its order."""
    names = [hp.name for hp in oracle.hyperparameters.space]
    for row in rows:
        names += [key[len("value/") :] for key in row if key.startswith("value/")]
    return [n for n in dict.fromkeys(names) if not n.startswith(_INTERNAL)]
