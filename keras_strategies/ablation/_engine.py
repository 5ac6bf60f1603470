"""A study at work: trains what the race asks for, tells it what came out."""

import dataclasses
import functools
import itertools
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from keras_strategies.ablation import _designs
from keras_strategies.ablation._designs import Arm, Contrast, Design
from keras_strategies.ablation._runs.execution import OutOfTime, Runner
from keras_strategies.ablation._runs.log import Log
from keras_strategies.ablation._runs.training import Job, Setup, arm_name
from keras_strategies.ablation._statistics.paired import Evidence, evidence
from keras_strategies.ablation._statistics.race import OPEN, Race

SCREEN_REPLICATES = 2
_DIVERGED = "FloatingPointError"


@dataclasses.dataclass
class Effect:
    """What the records say of one contrast in some runs.

    Attributes:
        evidence: Mean and variances over the runs in which every arm ended.
        runs: These runs.
        failures: Runs in which an arm with the strategy failed and none without.
        message: What the last failure said.
    """

    evidence: Evidence
    runs: list[int]
    failures: int = 0
    message: str = ""


class Engine:
    """Trainings and decisions of one study.

    Args:
        setup: What all trainings share.
        log: What has been trained.
        runner: What trains.
        looks: Numbers of seeds at which to decide.
        tolerance: Difference that would not matter, or `None`.
        sign: 1 if more of the metric is better, else -1.
        save_weights: Whether each training leaves its weights in the folder.
    """

    def __init__(
        self,
        setup: Setup,
        log: Log,
        runner: Runner,
        looks: Sequence[int],
        tolerance: float | None,
        sign: int,
        save_weights: bool = False,
    ):
        self.setup = setup
        self.log = log
        self.runner = runner
        self.looks: tuple[int, ...] = tuple(looks)
        self.tolerance = tolerance
        self.sign = sign
        self.save_weights = save_weights
        self.out_of_time: bool = False

    def race(self, design: Design, names: Sequence[str], first_run: int = 0) -> Race:
        """Adds seeds until every strategy is decided or gives up."""
        overlap = self.setup.splits.overlap
        race = Race(names, self.looks, self.tolerance, overlap, self.sign)
        done = 0
        for number, pairs in enumerate(self.looks):
            running = race.running
            if not running or self.out_of_time:
                break
            runs = range(first_run + done, first_run + pairs)
            try:
                self._train(design, running, runs, self.looks[-1] - done)
            except OutOfTime:
                self._stop_late(
                    race, design, number, range(first_run, first_run + pairs)
                )
                break
            done = pairs
            self._check_reference(design.reference, first_run, pairs)
            self._look(race, design, number, range(first_run, first_run + pairs))
            arms = len(design.arms(race.running)) if race.running else 0
            self.runner.expect(arms * (self.looks[-1] - pairs))
        return race

    def _train(self, design, names, runs, remaining):
        jobs = [self.job(arm, run) for run in runs for arm in design.arms(names)]
        # One training alone first: what cannot be trained is told before all workers
        # try.
        if runs.start == 0 and jobs and self.runner.is_local:
            self.runner.run(jobs[:1])
            self._check_first(jobs[0])
        self.runner.run(jobs, remaining)

    def job(self, arm: Arm, run: int, confirm: bool = False) -> Job:
        """A training of an arm; its weights are saved if that was asked for."""
        weights = None
        if self.save_weights and self.log.folder is not None:
            name = re.sub(r"\W+", "-", arm_name(arm))[:80]
            weights = str(self.log.folder / "weights" / f"{name}-{run}.weights.h5")
        return Job(arm, run, confirm=confirm, weights=weights)

    def _check_first(self, job):
        """A baseline that cannot be trained at all ends the study at once."""
        error = self.log.get(job.key).get("error", "")
        if error and not error.startswith(_DIVERGED):
            raise RuntimeError(f"The {job.key[0]} cannot be trained: {error}")

    def _check_reference(self, arm, first_run, pairs):
        records = self.records(arm, range(first_run, first_run + pairs))
        if all("error" in record for record in records):
            raise RuntimeError(
                f"The {arm_name(arm)} failed in all of {pairs} runs, so that there is "
                f"nothing to compare to. The last one: {records[-1]['error']}"
            )

    def _look(self, race, design, number, runs):
        effects = {n: self.effect(design.effects[n], runs) for n in race.running}
        _tell(race, number, effects)
        for name in race.running:
            effect = effects[name]
            if effect.failures and effect.evidence.pairs < len(runs) / 2:
                race.stop(name, failure_reason(effect, len(runs)))

    def _stop_late(self, race, design, number, runs):
        """The time limit: the last look, with what there is.

        The clock does not know the differences, so this is a look like others, of
        fewer pairs; but only runs count before which all have ended, since trainings
        that end early may have other scores.
        """
        self.out_of_time = True
        effects = {}
        for name in race.running:
            contrast = design.effects[name]
            ended = itertools.takewhile(functools.partial(self._ended, contrast), runs)
            effects[name] = self.effect(contrast, ended)
        _tell(race, number, effects)
        for name in effects:
            if race.standings[name].state == OPEN:
                race.stop(name, "the time limit")

    def _ended(self, contrast, run):
        return all((arm_name(arm), run) in self.log for arm in contrast)

    def records(self, arm: Arm, runs: Iterable[int]) -> list[dict[str, Any]]:
        """Records of the runs of an arm that have ended."""
        found = (self.log.get((arm_name(arm), run)) for run in runs)
        return [record for record in found if record is not None]

    def effect(
        self, contrast: Contrast, runs: Iterable[int], part: str | None = None
    ) -> Effect:
        """The evidence on a contrast; `part` names the scores if not the test part."""
        differences, parts, complete, alike = [], [], [], True
        failures, message, runs = 0, "", list(runs)
        example: dict[str, Any] | None = None
        for run in runs:
            records = {a: self.log.get((arm_name(a), run)) for a in contrast}
            if any(record is None for record in records.values()):
                continue
            failed = [a for a, record in records.items() if "error" in record]
            if failed:
                # A failure of the baseline too says nothing about the strategy.
                without = any(contrast[arm] < 0 for arm in failed)
                failures += not without
                message = records[failed[-1]]["error"]
                continue
            scores = {a: r if part is None else r[part] for a, r in records.items()}
            example = scores[next(iter(contrast))]
            differences.append(sum(w * scores[a]["value"] for a, w in contrast.items()))
            parts.append(sum(w * scores[a]["parts"] for a, w in contrast.items()))
            complete.append(run)
            alike = alike and _are_alike(records.values())
        seen = self._evidence(differences, parts, example, part, alike)
        return Effect(seen, complete, failures, message)

    def _evidence(self, differences, parts, example, part, alike):
        """All runs have the same test samples, but for splits of their own."""
        fixed = self.setup.splits.is_fixed or part is not None
        if example is None:
            return evidence(np.zeros(0))
        return evidence(
            np.array(differences),
            np.array(parts) if fixed else None,
            by_sample=example["by_sample"],
            overlap=0.0 if fixed else self.setup.splits.overlap,
            samples=len(example["parts"]) if example["is_share"] else None,
            alike=alike,
        )

    def screen(self, names: Sequence[str]) -> dict[str, _designs.MainEffect]:
        """Main effects from a few trainings in which many strategies are together."""
        strategies = self.setup.strategies
        arms = {}
        for replicate in range(SCREEN_REPLICATES):
            arms[replicate] = _designs.screening_arms(
                names,
                replicate,
                self.setup.seed,
                lambda a, b: strategies[a].excludes(strategies[b]),
            )
        try:
            self.runner.run(
                [
                    self.job(arm, replicate)
                    for replicate, rows in arms.items()
                    for arm in dict.fromkeys(rows)
                ]
            )
        except OutOfTime:
            self.out_of_time = True
        ended = []
        for replicate, rows in arms.items():
            # Where strategies exclude each other two rows may be one training.
            for arm in dict.fromkeys(rows):
                record = self.log.get((arm_name(arm), replicate))
                if record is not None and "error" not in record:
                    ended.append((replicate, arm, record["value"]))
        return _designs.main_effects(names, ended)


def _tell(race, number, effects):
    """One look of the race at the effects."""
    for name, effect in effects.items():
        race.failures[name] = effect.failures
    race.look(number, {name: effect.evidence for name, effect in effects.items()})


def _are_alike(records):
    """Whether trainings went the same way, not only to scores that are equal."""
    first, *others = (record.get("history") for record in records)
    return all(other == first for other in others)


def failure_reason(effect: Effect, runs: int) -> str:
    """How often a strategy failed, and what it said."""
    return f"{effect.failures} of {runs} trainings failed: {effect.message}"
