"""One test for each fault of KerasTuner 1.4.8 that this package repairs."""

import json
import threading

import keras_tuner
import pytest
from keras_tuner.engine.trial import TrialStatus

from keras_strategies import tuning
from keras_strategies._internal.storage import checked_json
from keras_strategies.tuning import _space

ORACLES = {
    "random": tuning.RandomSearchOracle,
    "grid": tuning.GridSearchOracle,
    "bayesian": tuning.BayesianOptimizationOracle,
    "evolution": tuning.EvolutionOracle,
    "tpe": tuning.OptunaOracle,
    "hyperband": tuning.HyperbandOracle,
}


class Quadratic(tuning.Tuner):
    """A search without a model: the distance of `x` from 0.3."""

    def run_trial(self, trial, *args, **kwargs):
        return (trial.hyperparameters.Float("x", 0, 1) - 0.3) ** 2


def space_of(declare):
    space = _space.Space()
    declare(space)
    return space


def search(folder, space, cls=Quadratic, **kwargs):
    kwargs = {"seed": 1, "max_trials": 4, "algorithm": "random", **kwargs}
    tuner = cls(hyperparameters=space, directory=folder, **kwargs)
    tuner.search(verbose=0)
    return tuner


def unit(space):
    space.Float("x", 0, 1)


def same_name(space):
    kind = space.Choice("kind", ["a", "b"])
    with space.conditional_scope("kind", ["a"]):
        first = space.Int("units", 1, 4)
    with space.conditional_scope("kind", ["b"]):
        second = space.Int("units", 10, 40)
    return kind, first, second


@pytest.mark.parametrize("name", ORACLES)
def test_a_name_may_stand_in_two_scopes(name, tmp_path):
    class Scoped(tuning.Tuner):
        def run_trial(self, trial, *args, **kwargs):
            kind, first, second = same_name(trial.hyperparameters)
            assert (first is None, second is None) == (kind == "b", kind == "a")
            return float(first if kind == "a" else second)

    options = {"max_trials": 8, "algorithm": name if name != "hyperband" else "random"}
    tuner = search(tmp_path, space_of(same_name), Scoped, **options)
    rows = tuner.results()
    assert {row["status"] for row in rows} == {"COMPLETED"}
    assert {row["value/kind"] for row in rows} == {"a", "b"}
    for row in rows:
        low, high = (1, 4) if row["value/kind"] == "a" else (10, 40)
        assert low <= row["value/units"] <= high


def test_the_space_of_two_scopes_with_one_name_is_found_by_building(tmp_path):
    built = []

    class Model(keras_tuner.HyperModel):
        def build(self, hp):
            built.append(same_name(hp))

    space = tuning.Tuner(Model(), "loss", directory=tmp_path).oracle.get_space()
    assert [hp.name for hp in space.space] == ["kind", "units", "units"]
    assert {kind for kind, *_ in built} == {"a", "b"}


def test_float_steps_reach_the_maximum():
    space = space_of(lambda s: s.Float("rate", 0.0, 0.5, step=0.1))
    (rate,) = space.space
    assert list(rate.values) == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert [rate.prob_to_value(rate.value_to_prob(v)) for v in rate.values] == [
        *rate.values
    ]
    assert rate.prob_to_value(0.999) == 0.5
    again = _space.Space.from_config(json.loads(json.dumps(space.get_config())))
    assert list(again.space[0].values)[-1] == 0.5
    stock = keras_tuner.HyperParameters()
    stock.Float("rate", 0.0, 0.5, step=0.1)
    assert 0.5 not in stock.space[0].values, "KerasTuner repaired it: drop ours"


@pytest.mark.parametrize(
    "values", [[True, False], [None, "l2"], [(3, 3), (5, 5)], [1, "1", None]]
)
def test_choice_keeps_what_it_is_given(values, tmp_path):
    seen = []

    class Choosing(tuning.Tuner):
        def run_trial(self, trial, *args, **kwargs):
            value = trial.hyperparameters.Choice("c", values)
            assert trial.hyperparameters.get("c") == value
            seen.append(value)
            return 0.0

    tuner = search(tmp_path, space_of(lambda s: s.Choice("c", values)), Choosing)
    assert len(seen) == len(values)
    assert all(any(v is s or v == s for s in seen) for v in values)
    assert {type(v) for v in seen} == {type(v) for v in values}
    assert {row["value/c"] for row in tuner.results()} == set(values)


def test_a_scope_may_depend_on_none():
    space = _space.Space()
    assert space.Choice("norm", [None, "batch"]) is None
    with space.conditional_scope("norm", [None]):
        assert space.Int("a", 1, 2) == 1
    with space.conditional_scope("norm", ["batch"]):
        assert space.Int("b", 1, 2) is None


def test_choice_refuses_what_cannot_be_written():
    with pytest.raises(TypeError, match="A `Choice` takes"):
        _space.Space().Choice("c", [object(), None])


def samples(seed, count=50):
    oracle = tuning.RandomSearchOracle("loss", 999, seed, space_of(unit))
    return [oracle.sample()["x"] for _ in range(count)]


def test_seeds_are_independent():
    assert samples(7) == samples(7)
    assert not set(samples(7)) & set(samples(8))
    assert not set(samples(0)) & set(samples(1000))
    stock = [
        keras_tuner.oracles.RandomSearchOracle("loss", 9, seed, space_of(unit))
        for seed in (7, 8)
    ]
    a, b = ([o._random_values()["x"] for _ in range(9)] for o in stock)
    assert a[1:] == b[:-1], "KerasTuner repaired it: drop ours"


def test_seed_0_is_a_seed():
    assert samples(0) == samples(0)


@pytest.mark.parametrize("name", ["random", "bayesian", "evolution", "tpe", "grid"])
def test_nothing_is_tried_twice_and_a_small_space_is_used_up(name, tmp_path):
    space = space_of(lambda s: [s.Int("x", 0, 3), s.Boolean("b")])

    class Whole(tuning.Tuner):
        def run_trial(self, trial, *args, **kwargs):
            return float(trial.hyperparameters.Int("x", 0, 3))

    tuner = search(tmp_path, space, Whole, max_trials=30, algorithm=name)
    tried = [(r["value/x"], r["value/b"]) for r in tuner.results()]
    assert len(tried) == len(set(tried)) == 8


def test_arguments_of_a_resumed_search_hold(tmp_path):
    options = {"algorithm": "bayesian", "algorithm_options": {"beta": 1.0}}
    search(tmp_path, space_of(unit), **options)
    options["algorithm_options"] = {"beta": 3.0}
    again = Quadratic(
        hyperparameters=space_of(unit), directory=tmp_path, max_trials=6, **options
    )
    assert again.oracle.beta == 3.0
    assert len(again.oracle.trials) == 4


def test_several_objectives_need_no_extra_key(tmp_path):
    class Two(tuning.Tuner):
        def run_trial(self, trial, *args, **kwargs):
            x = trial.hyperparameters.Float("x", 0, 1)
            return {"error": (x - 0.2) ** 2, "score": 1 - (x - 0.8) ** 2}

    objectives = [
        keras_tuner.Objective("error", "min"),
        keras_tuner.Objective("score", "max"),
    ]
    tuner = search(
        tmp_path, space_of(unit), Two, objective=objectives, algorithm="nsga2",
        max_trials=24,
    )  # fmt: skip
    assert tuner.oracle.algorithm == "nsga2"
    front = tuner.pareto_front()
    rows = {row["trial"]: row for row in tuner.results()}
    values = [rows[t.trial_id] for t in front]
    assert len(front) >= 3
    errors = [v["metric/error"] for v in values]
    scores = [v["metric/score"] for v in values]
    assert errors == sorted(errors)
    assert scores == sorted(scores)
    outside = [
        row for key, row in rows.items() if key not in {f.trial_id for f in front}
    ]
    assert all(
        any(
            v["metric/error"] <= row["metric/error"]
            and v["metric/score"] >= row["metric/score"]
            for v in values
        )
        for row in outside
    )


def test_a_search_without_a_completed_trial_says_why(tmp_path):
    class Broken(tuning.Tuner):
        def run_trial(self, trial, *args, **kwargs):
            trial.hyperparameters.Float("x", 0, 1)
            raise ValueError("no such layer")

    tuner = Broken(hyperparameters=space_of(unit), max_trials=3, directory=tmp_path)
    with pytest.raises(RuntimeError, match="(?s)No trial completed.*no such layer"):
        tuner.search(verbose=0)
    assert [r["status"] for r in tuner.results()] == ["FAILED"] * 3
    with pytest.raises(RuntimeError, match="no such layer"):
        tuner.get_best_models()
    assert tuner.oracle.get_best_trials(5) == []


def test_failures_in_a_row_end_the_search_and_free_the_lock(tmp_path):
    class Broken(tuning.Tuner):
        def run_trial(self, trial, *args, **kwargs):
            if trial.hyperparameters.Float("x", 0, 1) >= 0:
                raise ValueError("no such layer")

    tuner = Broken(
        hyperparameters=space_of(unit),
        max_trials=9,
        max_consecutive_failed_trials=2,
        directory=tmp_path,
    )
    with pytest.raises(RuntimeError, match="2 trials in a row failed"):
        tuner.search(verbose=0)
    assert len(tuner.oracle.trials) == 2
    # From another thread, which KerasTuner's lock would hold for ever.
    found = []
    thread = threading.Thread(target=lambda: found.append(tuner.oracle.is_done()))
    thread.start()
    thread.join(timeout=20)
    assert found == [True]


def test_a_failed_trial_is_recorded_and_the_search_goes_on(tmp_path):
    class Some(tuning.Tuner):
        def run_trial(self, trial, *args, **kwargs):
            x = trial.hyperparameters.Int("x", 0, 5)
            if x == 2:
                raise ValueError("two is too many")
            return float("nan") if x == 3 else float(x)

    tuner = search(
        tmp_path, space_of(lambda s: s.Int("x", 0, 5)), Some, algorithm="grid"
    )
    rows = {row["value/x"]: row for row in tuner.results()}
    assert [rows[x]["status"] for x in range(4)] == ["COMPLETED"] * 2 + ["FAILED"] * 2
    assert "two is too many" in rows[2]["message"]
    assert "is nan" in rows[3]["message"]
    assert tuner.oracle.get_best_trials(1)[0].score == 0


def test_a_failed_trial_is_tried_again_if_asked(tmp_path):
    attempts = []

    class Flaky(tuning.Tuner):
        def run_trial(self, trial, *args, **kwargs):
            attempts.append(trial.trial_id)
            if len(attempts) == 1:
                raise OSError("lost")
            return 1.0

    tuner = search(tmp_path, space_of(unit), Flaky, max_retries_per_trial=1)
    assert attempts.count(attempts[0]) == 2
    assert {row["status"] for row in tuner.results()} == {"COMPLETED"}


@pytest.mark.parametrize("name", ["random", "bayesian", "evolution", "tpe", "grid"])
def test_a_search_goes_on_in_its_folder(name, tmp_path):
    space = space_of(lambda s: [s.Float("x", 0, 1), s.Choice("c", ["a", "b"])])
    search(tmp_path, space, max_trials=6, algorithm=name)
    tuner = search(tmp_path, space, max_trials=12, algorithm=name)
    rows = tuner.results()
    assert len(rows) == 12
    assert {row["status"] for row in rows} == {"COMPLETED"}
    assert len({(row["value/x"], row["value/c"]) for row in rows}) == 12


def test_a_run_trial_gets_no_argument_that_it_does_not_take(tmp_path):
    class Narrow(tuning.Tuner):
        def run_trial(self, trial, x):
            return trial.hyperparameters.Float("a", 0, 1) * x

    tuner = Narrow(algorithm="random", max_trials=2, directory=tmp_path)
    tuner.search(2.0, verbose=0)
    assert [row["status"] for row in tuner.results()] == ["COMPLETED"] * 2


def test_an_interrupted_trial_runs_again(tmp_path):
    class Interrupted(Quadratic):
        def run_trial(self, trial, *args, **kwargs):
            if trial.trial_id == "02" or len(self.oracle.trials) == 3:
                raise KeyboardInterrupt
            return super().run_trial(trial)

    with pytest.raises(KeyboardInterrupt):
        search(tmp_path, space_of(unit), Interrupted, max_trials=5)
    tuner = search(tmp_path, space_of(unit), max_trials=5)
    rows = tuner.results()
    assert [row["status"] for row in rows] == ["COMPLETED"] * 5
    assert len({row["value/x"] for row in rows}) == 5


def test_a_trial_written_just_before_a_kill_is_not_lost(tmp_path):
    tuner = search(tmp_path, space_of(unit), max_trials=2)
    folder = tmp_path / "search"
    state = checked_json.read(folder / "oracle.json")
    state["start_order"].remove("1")
    state["end_order"].remove("1")
    checked_json.write(folder / "oracle.json", state)
    tuner = search(tmp_path, space_of(unit), max_trials=3)
    assert [row["status"] for row in tuner.results()] == ["COMPLETED"] * 3


def test_a_space_declared_inside_the_first_trial_keeps_a_second_worker_waiting():
    oracle = tuning.RandomSearchOracle("loss", max_trials=5, seed=1)
    oracle._write_trial = oracle.save = lambda *args: None
    first = oracle.create_trial("a")
    assert first.status == TrialStatus.RUNNING
    assert oracle.create_trial("b").status == TrialStatus.IDLE
    unit(first.hyperparameters)
    oracle.update_trial(first.trial_id, {"loss": 1.0})
    first.status = TrialStatus.COMPLETED
    oracle.end_trial(first)
    assert oracle.create_trial("b").hyperparameters.values.keys() == {"x"}


def test_what_a_model_declares_in_its_first_trial_reaches_the_sampler(tmp_path):
    tuner = Quadratic(algorithm="tpe", max_trials=3, directory=tmp_path, seed=1)
    tuner.search(verbose=0)
    study = tuner.oracle.study
    told = [t.params for t in study.trials if t.state.name == "COMPLETE"]
    assert [set(params) for params in told] == [{"x"}] * 3
    again = Quadratic(algorithm="tpe", max_trials=5, directory=tmp_path, seed=1)
    again.search(verbose=0)
    assert len(again.results()) == 5
