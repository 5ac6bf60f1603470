"""Confirmation: the combination of what helped, on new seeds and new samples."""

from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_strategies.ablation._best_result import BestResult
from keras_strategies.ablation._designs import Arm
from keras_strategies.ablation._progress import progress
from keras_strategies.ablation._runs import applying
from keras_strategies.ablation._runs.training import (
    FIRST_CONFIRMATION,
    Job,
    arm_name,
    prepare,
)
from keras_strategies.ablation._statistics.race import ALPHA

if TYPE_CHECKING:
    from keras_strategies.ablation._engine import Engine
    from keras_strategies.ablation._study_result import StudyResult


def confirm(
    engine: "Engine", result: "StudyResult", seeds: int, verbose: int
) -> BestResult:
    """Trains the candidates and chooses among those that are confirmed."""
    combination, left_out = _combination(engine, result.helpful)
    candidates: list[Arm] = [(name,) for name in result.helpful]
    if len(combination) > 1:
        candidates.insert(0, combination)
    if not candidates:
        note = "No strategy was shown to help, so there is nothing to confirm."
        return BestResult(engine, [], [], note)
    runs = range(FIRST_CONFIRMATION, FIRST_CONFIRMATION + seeds)
    jobs = [
        engine.job(arm, run, confirm=True) for run in runs for arm in ((), *candidates)
    ]
    with engine.log, progress(verbose, "confirming", len(jobs)) as update:
        engine.runner.deadline, engine.runner.progress = None, update
        try:
            engine.runner.run(jobs)
        finally:
            engine.runner.close()
    rows = [_row(engine, arm, runs) for arm in candidates]
    _decide(rows, engine.sign)
    chosen = _chosen(rows, engine.sign)
    note = _note(rows, chosen, combination, left_out, engine.sign)
    return BestResult(engine, rows, chosen, note)


def _combination(engine, helpful) -> tuple[Arm, list[str]]:
    """All helpful strategies that go together, the most helpful ones first."""
    strategies = engine.setup.strategies
    chosen: list[str] = []
    left_out = []
    for name in helpful:
        if any(strategies[name].excludes(strategies[other]) for other in chosen):
            left_out.append(name)
        else:
            chosen.append(name)
    # Applied in the order in which the user gave them.
    return tuple(name for name in strategies if name in chosen), left_out


def _row(engine, arm, runs) -> dict[str, Any]:
    from scipy import stats

    effect = engine.effect({arm: 1.0, (): -1.0}, runs, "confirmation")
    seen = effect.evidence
    scores = [
        record["confirmation"]["value"]
        for record in engine.records(arm, runs)
        if "error" not in record
    ]
    row = {
        "candidate": arm_name(arm),
        "strategies": list(arm),
        "score": float(np.mean(scores)) if scores else None,
        "difference": seen.mean if seen.pairs else None,
        "error": None,
        "freedom": seen.pairs - 1,
        "p_value": 1.0,
        "interval": None,
        "failures": effect.failures,
    }
    if seen.pairs >= 3 and np.isfinite(seen.error) and seen.error > 0:
        t = engine.sign * seen.mean / seen.error
        row["error"] = seen.error
        # One that fails now and then is not confirmed, however good it is otherwise.
        if not effect.failures:
            row["p_value"] = float(stats.t.sf(t, seen.pairs - 1))
    return row


def _decide(rows, sign):
    """Holm's procedure, one-sided: only better than the baseline is of interest.

    Intervals are Bonferroni's, so that they hold for whichever candidate is chosen.
    """
    from scipy import stats

    order = sorted(range(len(rows)), key=lambda i: rows[i]["p_value"])
    passed = True
    for position, index in enumerate(order):
        row = rows[index]
        share = len(rows) - position
        # Holm: after the first that does not pass none does. Half of the error rate, as
        # the other side is not tested.
        passed = passed and share * row["p_value"] <= ALPHA / 2
        row["confirmed"] = passed
        row["p_value"] = min(1.0, 2 * share * row["p_value"])
        if row["error"] is not None:
            level = ALPHA / len(rows) / 2
            reach = row["error"] * stats.t.isf(level, row["freedom"])
            low, high = row["difference"] - reach, row["difference"] + reach
            if passed:
                low, high = (max(low, 0.0), high) if sign > 0 else (low, min(high, 0.0))
            row["interval"] = low, high
    for row in rows:
        del row["error"], row["freedom"]


def _chosen(rows, sign):
    confirmed = [row for row in rows if row["confirmed"]]
    if not confirmed:
        return []
    return max(confirmed, key=lambda row: sign * row["score"])["strategies"]


def _note(rows, chosen, combination, left_out, sign):
    notes = []
    if left_out:
        notes.append(
            f"{', '.join(left_out)} helps too but excludes another one in the "
            "combination."
        )
    if not chosen:
        notes.append(
            "Nothing is confirmed on new samples: keep the baseline, or confirm with "
            "more seeds or a larger test part."
        )
    elif len(combination) > 1 and chosen != list(combination):
        notes.append(_about_combination(rows, " + ".join(chosen), sign))
    return " ".join(notes)


def _about_combination(rows, chosen, sign):
    """Why all that helped together is not the best."""
    whole = rows[0]
    mine = next(row for row in rows if row["candidate"] == chosen)
    text = "The combination of all that helped"
    if whole["score"] is None:
        return f"{text} failed in every training."
    if sign * whole["score"] < sign * mine["score"]:
        return (
            f"{text} is worse than {chosen} alone: {whole['score']:.4f} to "
            f"{mine['score']:.4f}."
        )
    why = "is not confirmed"
    if whole["failures"]:
        why = f"failed in {whole['failures']} trainings"
    return f"{text} scored {whole['score']:.4f} but {why}; more seeds may confirm it."


def trained(engine: "Engine", arm: Arm, run: int) -> keras.Model:
    """One training of an arm in this process; the model stays."""
    setup = engine.setup
    with applying.clean_keras(setup.keras_settings):
        prepared = prepare(setup, Job(arm, run), setup.splits.of(run))
        prepared.fit()
        return prepared.model
