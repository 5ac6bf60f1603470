"""Studies whose trainings are drawn: what is trained, decided and confirmed."""

import re

import numpy as np
import pytest

from keras_strategies import ablation
from keras_strategies.ablation import _designs, _judging
from keras_strategies.ablation._engine import Engine
from keras_strategies.ablation._runs.execution import OutOfTime
from keras_strategies.ablation._runs.log import Log
from keras_strategies.ablation._runs.training import arm_name
from keras_strategies.ablation._study_result import StudyResult
from tests.ablation import networks

SAMPLES = 100


class DrawnRunner:
    """Stands in for trainings: draws scores around a true one."""

    is_local = True

    def __init__(self, log, effects, noise=0.02, together=0.0, most=None, seed=1):
        self.log, self.effects, self.noise = log, effects, noise
        self.together, self.most, self.seed = together, most, seed
        self.deadline = self.progress = None
        self.trained, self.notes = [], []

    def run(self, jobs, remaining=0):
        for job in jobs:
            if job.key in self.log:
                continue
            if self.most is not None and len(self.trained) >= self.most:
                raise OutOfTime
            self.trained.append(job.key)
            self.log.add(self._record(job))

    def _record(self, job):
        record = {"arm": arm_name(job.arm), "run": job.run, "total_seconds": 0.1}
        failing = [n for n in job.arm if self.effects[n] == "fails"]
        if failing:
            return {**record, "error": "ValueError: no"}
        score = 0.6 + sum(self.effects[name] for name in job.arm)
        score += self.together * (len(job.arm) > 1)
        common = np.random.default_rng([self.seed, job.run]).normal() * self.noise
        key = [self.seed, job.run, *map(ord, record["arm"])]
        own = np.random.default_rng(key)
        score += common + own.normal() * self.noise / 2
        parts = score + own.normal(size=SAMPLES) * 0.01
        drawn = {"parts": parts, "by_sample": True, "is_share": False}
        drawn["value"] = float(parts.mean())
        confirmation = {"confirmation": drawn} if job.confirm else {}
        costs = {"seconds": 1.0 + len(job.arm), "parameters": 10, "macs": 100}
        return {**record, **drawn, **costs, **confirmation, "initial": str(job.run)}

    def expect(self, trainings):
        self.expected = trainings

    def close(self):
        pass


def engine(effects, looks=(5, 7, 10), tolerance=None, sign=1, **runner):
    log = Log(None)
    changes = {name: ablation.Strategy(name, why=f"why {name}") for name in effects}
    setup = networks.setup(changes=changes)
    drawn = DrawnRunner(log, effects, **runner)
    return Engine(setup, log, drawn, looks, tolerance, sign)


def judged(engine_, kind="add_one", names=None):
    names = list(engine_.setup.strategies) if names is None else names
    design = getattr(_designs, kind)(names)
    race = engine_.race(design, names)
    return {n: _judging.judged(engine_, race, design, n, 0) for n in names}


def test_verdicts_and_who_gets_more_seeds():
    work = engine({"good": 0.2, "bad": -0.2, "null": 0.0})
    results = judged(work)
    assert results["good"].verdict == "helps"
    assert results["bad"].verdict == "hurts"
    assert results["null"].verdict == "undecided"
    assert results["good"].interval[0] < 0.2 < results["good"].interval[1]
    assert results["good"].seeds == results["bad"].seeds == 5
    runs = {key[1] for key in work.runner.trained if key[0] == "good"}
    assert runs == set(range(5))
    assert results["null"].seeds > 5 or "hardly" in results["null"].reason
    assert results["good"].time_ratio == pytest.approx(2.0)
    assert results["good"].why == "why good"
    assert results["null"].detectable > 0
    assert work.runner.expected == 0


def test_less_of_a_loss_helps():
    results = judged(engine({"lower": -0.2, "higher": 0.2}, sign=-1))
    assert results["lower"].verdict == "helps"
    assert results["higher"].verdict == "hurts"


def test_small_differences_are_within_the_tolerance():
    results = judged(engine({"null": 0.0}, looks=(5, 7, 10, 14, 20), tolerance=0.05))
    assert results["null"].verdict == "no difference"
    assert results["null"].smallest_tolerance <= 0.05


@pytest.mark.parametrize("kind", ["leave_one_out", "factorial"])
def test_other_designs_find_the_same(kind):
    results = judged(engine({"good": 0.2, "bad": -0.2}), kind)
    assert results["good"].verdict == "helps"
    assert results["bad"].verdict == "hurts"
    assert results["good"].difference == pytest.approx(0.2, abs=0.03)


def test_interactions():
    work = engine({"a": 0.1, "b": 0.1}, together=-0.2)
    names = ["a", "b"]
    design = _designs.factorial(names)
    rows = _judging.interactions(work, design, work.race(design, names))
    assert rows[0]["interaction"] == "a x b"
    # Half of what is lost by having both.
    assert rows[0]["low"] < -0.1 < rows[0]["high"] < 0


def test_failures_count():
    results = judged(engine({"never": "fails", "good": 0.2}))
    assert results["never"].verdict == "hurts"
    assert "all 5 trainings failed: ValueError: no" in results["never"].reason
    assert results["good"].verdict == "helps"


def test_a_baseline_that_fails_ends_the_study():
    work = engine({"a": 0.0})
    work.runner._record = lambda job: {
        "arm": arm_name(job.arm),
        "run": job.run,
        "error": "ValueError: bad data",
    }
    with pytest.raises(RuntimeError, match="baseline cannot be trained: ValueError"):
        judged(work)
    assert len(work.runner.trained) == 1


def test_a_baseline_that_diverges_everywhere():
    work = engine({"a": 0.0})
    work.runner._record = lambda job: {
        "arm": arm_name(job.arm),
        "run": job.run,
        "error": "FloatingPointError: the loss was nan",
    }
    with pytest.raises(RuntimeError, match="baseline failed in all of 5 runs"):
        judged(work)


def test_the_time_limit():
    """It is a look of fewer pairs: verdict, interval and p-value agree."""
    work = engine({"good": 0.2, "null": 0.0}, most=9)
    results = judged(work)
    assert work.out_of_time
    assert results["good"].verdict == "helps"
    assert results["good"].interval[0] >= 0 and results["good"].p_value <= 0.05
    assert results["null"].verdict == "undecided"
    assert results["null"].reason == "the time limit"
    low, high = results["null"].interval
    assert low < 0 < high and results["null"].p_value > 0.05
    for result in results.values():
        assert result.seeds == 3


def test_what_ends_out_of_order_does_not_count_at_the_time_limit():
    """Trainings that end early may have other scores than the others."""
    work = engine({"null": 0.0}, looks=(8,), most=8)
    run = work.runner.run
    backwards = sorted((job_run for job_run in range(8)), reverse=True)

    def disorderly(jobs, remaining=0):
        first = [job for job in jobs if job.run < 2]
        last = sorted(jobs, key=lambda job: backwards.index(job.run))
        run([*first, *last], remaining)

    work.runner.run = disorderly
    result = judged(work)["null"]
    assert len(work.log) == 8 and result.seeds == 2


def test_no_time_for_a_single_pair():
    results = judged(engine({"good": 0.2}, most=1))
    assert results["good"].verdict == "undecided"
    assert results["good"].difference is None


def test_screening_selects_the_best():
    effects = {f"s{n}": 0.0 for n in range(11)} | {"s4": 0.2, "s7": -0.2}
    work = engine(effects)
    found = work.screen(list(effects))
    assert len(work.runner.trained) <= 24
    assert max(found, key=lambda name: found[name].effect) == "s4"
    assert min(found, key=lambda name: found[name].effect) == "s7"


def study_result(work, **options):
    results = judged(work)
    return StudyResult(
        work,
        results,
        design="add_one",
        direction="max",
        reference={"mean": 0.6, "deviation": 0.01},
        **options,
    )


def test_best_is_confirmed_on_new_seeds():
    work = engine({"a": 0.1, "b": 0.1, "null": 0.0})
    result = study_result(work)
    best = result.best(seeds=5, verbose=0)
    assert best.confirmed
    assert best.strategies == ["a", "b"]
    assert best.interval[0] < 0.2 < best.interval[1]
    confirmed = {key for key in work.runner.trained if key[1] >= 1_000_000}
    assert {arm for arm, _ in confirmed} == {"baseline", "a", "b", "a + b"}


def test_a_combination_that_is_worse_than_a_part():
    work = engine({"a": 0.1, "b": 0.15}, together=-0.2)
    best = study_result(work).best(seeds=5, verbose=0)
    assert best.strategies == ["b"]
    assert "worse than b alone" in best.note


def test_a_combination_that_is_better_but_fails_now_and_then():
    """It is not called worse, and what is confirmed does not suffer from it."""
    work = engine({"a": 0.1, "b": 0.15})
    result = study_result(work)
    record = work.runner._record
    work.runner._record = lambda job: (
        {"arm": "a + b", "run": job.run, "error": "ValueError: no"}
        if job.arm == ("a", "b") and job.run == 1_000_001
        else record(job)
    )
    best = result.best(seeds=5, verbose=0)
    assert best.strategies == ["b"] and best.confirmed
    assert "failed in 1 trainings; more seeds may confirm it" in best.note
    assert "worse" not in best.note


def test_a_confirmation_is_no_part_of_the_study():
    """Its trainings are neither counted nor drawn, also after an interruption."""
    work = engine({"a": 0.1, "null": 0.0})
    before = study_result(work)
    before.best(seeds=5, verbose=0)
    after = study_result(work)
    assert after.trainings == before.trainings == work.log.count(1_000_000)
    assert len(work.log) == before.trainings + 10


def test_equal_scores_of_different_trainings_are_a_coincidence():
    work = engine({"null": 0.0}, noise=0.0)
    record = work.runner._record

    def drawn(job, alike):
        score = record(job._replace(arm=()))
        history = {"loss": [1.0 if alike or not job.arm else 2.0]}
        return {**score, "arm": arm_name(job.arm), "history": history}

    work.runner._record = lambda job: drawn(job, True)
    assert judged(work)["null"].verdict == "no difference"
    work = engine({"null": 0.0}, noise=0.0)
    work.runner._record = lambda job: drawn(job, False)
    assert judged(work)["null"].verdict == "undecided"


def test_luck_is_not_confirmed():
    work = engine({"a": 0.2})
    result = study_result(work)
    assert result.helpful == ["a"]
    work.runner.effects["a"] = 0.0
    best = result.best(seeds=5, verbose=0)
    assert not best.confirmed and best.strategies == []
    assert best.difference is None
    assert "Nothing is confirmed" in best.table()


def test_nothing_to_confirm():
    best = study_result(engine({"a": 0.0})).best(verbose=0)
    assert best.rows == [] and "nothing to confirm" in best.note


def test_strategies_that_exclude_each_other_are_not_combined():
    work = engine({"a": 0.1, "b": 0.15})
    for name in "ab":
        strategy = ablation.Strategy(name, group="one")
        work.setup.strategies[name] = strategy
    best = study_result(work).best(seeds=5, verbose=0)
    assert best.strategies == ["b"]
    assert "a helps too but excludes another" in best.note


def test_table_picture_and_report(tmp_path):
    pytest.importorskip("matplotlib")
    pytest.importorskip("pandas")
    work = engine({"good": 0.2, "null": 0.0, "never": "fails"})
    result = study_result(work, warnings=["mind the gap"])
    text = str(result)
    assert text.index("good") < text.index("null")
    for part in ("helps", "undecided", "hurts", "seed 0", "mind the gap", "more seeds"):
        assert part in text
    frame = result.to_dataframe()
    assert frame.set_index("strategy").loc["good", "verdict"] == "helps"
    assert [t.get_text() for t in result.plot().get_yticklabels()] == ["good", "null"]
    result.save_report(tmp_path / "study.html")
    page = (tmp_path / "study.html").read_text()
    assert page.count("data:image/png") == 2 and "mind the gap" in page
    pictures = re.findall("base64,([A-Za-z0-9+/=]+)", page)
    assert len(set(pictures)) == 2  # differences and learning curves
    assert "<h2>Learning curves</h2>" in page
    result.save_report(tmp_path / "study.json")
    assert '"verdict": "helps"' in (tmp_path / "study.json").read_text()
    with pytest.raises(ValueError, match="`kind` must be one of"):
        result.plot(kind="pie")
    with pytest.raises(ValueError, match="`strategies` must be one of"):
        result.code(["unknown"])
