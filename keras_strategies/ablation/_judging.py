"""From standings of the race to results of strategies."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_strategies.ablation._designs import Contrast, Design, MainEffect
from keras_strategies.ablation._engine import Engine, failure_reason
from keras_strategies.ablation._statistics.race import ALPHA, DIFFERENT, SAME, Race
from keras_strategies.ablation._strategy_result import StrategyResult


def judged(
    engine: Engine, race: Race, design: Design, name: str, first_run: int
) -> StrategyResult:
    """The result of one strategy that was in the race."""
    standing = race.standings[name]
    strategy = engine.setup.strategies[name]
    runs = range(first_run, first_run + engine.looks[-1])
    effect = engine.effect(design.effects[name], runs)
    common = {"why": strategy.why, "source": strategy.source}
    costs = costs_of(engine, design.effects[name], runs)
    seen = standing.evidence
    if seen is None or not seen.pairs:
        return _never_ended(name, effect, standing.reason, common)
    verdict = _verdict(standing.state, engine.sign * seen.mean)
    open_ = verdict == "undecided"
    return StrategyResult(
        name=name,
        verdict=verdict,
        difference=seen.mean,
        interval=race.interval(name),
        p_value=race.adjusted()[name],
        seeds=seen.pairs,
        reason=_reason(race, name, effect, open_),
        seed_error=_finite(np.sqrt(seen.seed_variance)),
        test_error=_finite(np.sqrt(seen.test_variance)),
        error=_finite(seen.error),
        failures=effect.failures,
        more_seeds=race.more_seeds(name) if open_ and not effect.failures else None,
        detectable=race.detectable(name),
        smallest_tolerance=_smallest_tolerance(race, standing),
        **common,
        **costs,
    )


def _verdict(state, benefit):
    if state == SAME:
        return "no difference"
    if state == DIFFERENT:
        return "helps" if benefit > 0 else "hurts"
    return "undecided"


def _reason(race, name, effect, is_open):
    reason = race.standings[name].reason
    if is_open and effect.failures:
        runs = len(effect.runs) + effect.failures
        return failure_reason(effect, runs)
    return reason


def _never_ended(name, effect, reason, common):
    """All trainings failed, or there was no time for a single pair."""
    if effect.failures:
        return StrategyResult(
            name=name,
            verdict="hurts",
            reason=f"all {effect.failures} trainings failed: {effect.message}",
            failures=effect.failures,
            **common,
        )
    return StrategyResult(name=name, verdict="undecided", reason=reason, **common)


def _smallest_tolerance(race, standing):
    seen = standing.evidence
    if seen.identical:
        return 0.0
    if seen.pairs < 3:
        return None
    return abs(seen.mean) + race.reach(standing.look, seen, 2 * ALPHA, sides=1)


def _finite(value):
    return float(value) if np.isfinite(value) else None


def costs_of(engine: Engine, contrast: Contrast, runs: range) -> dict[str, Any]:
    """Training time, parameters and inference with the strategy and without."""
    times, ratios, extra = [], [], []
    for run in runs:
        sides: dict[bool, list[tuple[float, Any]]] = {True: [], False: []}
        for arm, weight in contrast.items():
            records = engine.records(arm, [run])
            if not records or "error" in records[0]:
                break
            sides[weight > 0].append((abs(weight), records[0]))
        else:
            times.append(_quotient(sides, "seconds"))
            ratios.append(_quotient(sides, "macs"))
            with_, without = (
                _mean(sides[side], "parameters") for side in (True, False)
            )
            extra.append(round(with_ - without))
    return {
        "time_ratio": _median(times),
        "inference_ratio": _median(ratios),
        "extra_parameters": extra[0] if extra else None,
    }


def _mean(records, key):
    values = [(weight, record[key]) for weight, record in records]
    if any(value is None for _, value in values):
        return None
    return sum(w * v for w, v in values) / sum(w for w, _ in values)


def _quotient(sides, key):
    above, below = (_mean(sides[side], key) for side in (True, False))
    return above / below if above is not None and below else None


def _median(values):
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None


def screened_out(
    engine: Engine, name: str, effects: Mapping[str, MainEffect]
) -> StrategyResult:
    """The result of a strategy that the screening did not select."""
    strategy = engine.setup.strategies[name]
    effect = effects.get(name)
    reason = "not selected by the screening"
    if effect is None:
        reason = "too many trainings of the screening failed to tell"
    return StrategyResult(
        name=name,
        verdict="undecided",
        reason=reason,
        why=strategy.why,
        source=strategy.source,
        screening=None if effect is None else tuple(effect),
    )


def with_screening(
    result: StrategyResult, effects: Mapping[str, MainEffect]
) -> StrategyResult:
    """The result of a survivor, with what the screening had said."""
    return dataclasses.replace(result, screening=tuple(effects[result.name]))


def interactions(engine: Engine, design: Design, race: Race) -> list[dict[str, Any]]:
    """Interactions of pairs of strategies, from the runs that a factorial has."""
    if not design.interactions:
        return []
    last = max((item.look for item in race.standings.values()), default=-1)
    if last < 0:
        return []
    runs = range(engine.looks[last])
    rows = []
    for name, contrast in design.interactions.items():
        seen = engine.effect(contrast, runs).evidence
        if seen.pairs < 3:
            continue
        reach = race.reach(last, seen, ALPHA / len(design.interactions))
        rows.append(
            {
                "interaction": name,
                "difference": seen.mean,
                "low": seen.mean - reach,
                "high": seen.mean + reach,
            }
        )
    return rows


def reference(engine: Engine, arm: Any, runs: range) -> dict[str, float | None]:
    """Mean score of the arm that others are compared to, and its deviation."""
    scores = [r["value"] for r in engine.records(arm, runs) if "error" not in r]
    return {
        "mean": float(np.mean(scores)) if scores else float("nan"),
        "deviation": float(np.std(scores, ddof=1)) if len(scores) > 1 else None,
    }
