"""Several processes on one search without a chief: real ones where it is slow."""

import ast
import os
import pathlib
import re
import secrets
import signal
import subprocess
import sys
import threading
import time

import keras
import keras_tuner
import pytest
from keras_tuner.engine.trial import TrialStatus

from keras_strategies import tuning
from keras_strategies.tuning import _studies
from keras_strategies.tuning.oracles._search_state.workers import MAX_ORPHANED
from tests.tuning import faults


class Clock:
    """Time that passes when told so."""

    now = 0.0

    def __call__(self):
        return self.now


def oracle(storage, trials=4, seed=1, largest=9):
    space = keras_tuner.HyperParameters()
    space.Int("x", 0, largest)
    space.Choice("kind", ["a", "b"])
    objective = keras_tuner.Objective("score", "max")
    made = tuning.OptunaStorageOracle(
        objective, storage, max_trials=trials, seed=seed, hyperparameters=space
    )
    made.clock = Clock()
    return made


def end(made, trial, score=1.0):
    made.update_trial(trial.trial_id, {"score": score})
    trial.status = TrialStatus.COMPLETED
    made.end_trial(trial)


# URL of an empty PostgreSQL database, where one is at hand: tested there too.
DATABASE = os.environ.get("TEST_DATABASE_URL")


@pytest.fixture(params=["journal", "sqlite", *(["postgresql"] if DATABASE else [])])
def storage(request, tmp_path):
    if request.param == "journal":
        yield tmp_path / "search.log"
    elif request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/search.db"
    else:
        yield from schema()


def schema():
    """A part of the database for one test."""
    import sqlalchemy

    name = f"test_{secrets.token_hex(6)}"
    engine = sqlalchemy.create_engine(DATABASE)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(f"CREATE SCHEMA {name}"))
    url = sqlalchemy.make_url(DATABASE)
    url = url.update_query_dict({"options": f"-csearch_path={name}"})
    yield url.render_as_string(hide_password=False)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(f"DROP SCHEMA {name} CASCADE"))


def values(made):
    return [made.trials[key].hyperparameters.values for key in made.end_order]


def test_a_second_oracle_finds_what_the_first_has_done(storage):
    first = oracle(storage, trials=3)
    for score in (0.5, 0.25):
        end(first, first.create_trial("tuner0"), score)
    failed = first.create_trial("tuner0")
    failed.status, failed.message = TrialStatus.INVALID, "no such layer"
    first.end_trial(failed)
    second = oracle(storage, trials=4)
    assert values(second) == values(first)
    assert second.get_best_trials(1)[0].score == 0.5
    assert [t.status for t in second.trials.values()] == [*["COMPLETED"] * 2, "FAILED"]
    assert second.trials[second.end_order[2]].message == "no such layer"
    assert second.seconds.keys() == second.trials.keys()
    end(second, second.create_trial("tuner0"))
    assert second.create_trial("tuner0").status == TrialStatus.STOPPED
    assert first.create_trial("tuner0").status == TrialStatus.STOPPED


def test_threads_share_the_places_and_try_nothing_twice(tmp_path):
    ran = []

    def work(k):
        made = oracle(tmp_path / "search.log", trials=20)  # of 20 combinations
        while True:
            trial = made.create_trial("tuner0")
            if trial.status == TrialStatus.STOPPED:
                return
            if trial.status == TrialStatus.IDLE:
                made.clock.now += 1
                time.sleep(0.01)
                made.heartbeat("tuner0")
                continue
            ran.append(tuple(sorted(trial.hyperparameters.values.items())))
            end(made, trial, k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(ran) == len(set(ran)) == 20
    assert len(oracle(tmp_path / "search.log", trials=20).end_order) == 20


def test_places_go_by_number_until_the_last(tmp_path):
    """A trial that is numbered but not yet taken keeps the later ones waiting."""
    # Of two that draw the same combination one gives way: here none does by chance.
    first, second = (
        oracle(tmp_path / "search.log", 1, seed, largest=10**9) for seed in (1, 2)
    )
    undecided = first.study.ask()
    late = []
    thread = threading.Thread(target=lambda: late.append(second.create_trial("b")))
    thread.start()
    time.sleep(0.2)
    assert not late
    taken = first._claim("0", undecided, first._suggest(undecided))
    assert taken["status"] == TrialStatus.RUNNING
    thread.join(60)
    assert late[0].status == TrialStatus.IDLE


def test_the_trial_of_a_lost_process_runs_again_and_counts_once(storage):
    slow, other = (oracle(storage, trials=1) for _ in range(2))
    lost = slow.create_trial("tuner0")
    assert other.create_trial("tuner0").status == TrialStatus.IDLE
    for _ in range(3):  # with signs of life
        other.clock.now += 50
        slow.heartbeat("tuner0")
        assert other.create_trial("tuner0").status == TrialStatus.IDLE
    other.clock.now += 61
    again = other.create_trial("tuner0")
    assert again.status == TrialStatus.RUNNING
    assert again.hyperparameters.values == lost.hyperparameters.values
    assert again.trial_id != lost.trial_id
    end(other, again, 0.5)
    end(slow, lost, 0.9)  # it was only slow
    for made in (slow, other, oracle(storage, trials=1)):
        assert made.create_trial("tuner0").status == TrialStatus.STOPPED
        assert made.end_order == [again.trial_id]
        assert made.get_best_trials(1)[0].score == 0.5


def test_a_trial_that_takes_its_processes_down_is_given_up(tmp_path):
    clock = Clock()
    for _ in range(MAX_ORPHANED):
        made = oracle(tmp_path / "search.log", trials=1)
        made.clock = clock
        made.create_trial("tuner0")  # notices what runs
        clock.now += 61
        assert made.create_trial("tuner0").status == TrialStatus.RUNNING
    made = oracle(tmp_path / "search.log", trials=1)
    made.clock = clock
    assert made.create_trial("tuner0").status == TrialStatus.IDLE
    clock.now += 61
    assert made.create_trial("tuner0").status == TrialStatus.STOPPED
    (trial,) = made.trials.values()
    assert trial.status == TrialStatus.FAILED
    assert "lost 3 times" in trial.message


def test_a_result_written_just_before_a_kill_stands(tmp_path, monkeypatch):
    first, other = (oracle(tmp_path / "search.log", trials=1) for _ in range(2))
    trial = first.create_trial("tuner0")
    with monkeypatch.context() as patch:
        patch.setattr(_studies.shared_trials, "tell", lambda *args: None)
        end(first, trial, 0.7)
    assert other.create_trial("tuner0").status == TrialStatus.IDLE
    other.clock.now += 61
    assert other.create_trial("tuner0").status == TrialStatus.STOPPED
    assert other.get_best_trials(1)[0].score == 0.7
    assert [t.value for t in other.study.trials] == [0.7]


def test_processes_that_start_at_once_make_the_tables_once(tmp_path, monkeypatch):
    import optuna
    import sqlalchemy

    made, real = [], optuna.storages.RDBStorage

    def late(url):
        made.append(url)
        if len(made) == 1:
            raise sqlalchemy.exc.OperationalError("", {}, "table already exists")
        return real(url)

    monkeypatch.setattr(optuna.storages, "RDBStorage", late)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    storage = _studies.open_storage(f"sqlite:///{tmp_path}/search.db")
    assert isinstance(storage, real) and len(made) == 2


def test_pruned_trials_and_their_curves_are_shared(tmp_path):
    first = oracle(tmp_path / "search.log")
    trial = first.create_trial("tuner0")
    for epoch, value in enumerate([0.1, 0.3]):
        first.report(trial.trial_id, epoch, {"score": value})
    first.pruned[trial.trial_id] = 1
    end(first, trial, 0.3)
    second = oracle(tmp_path / "search.log")
    assert second.curves == {trial.trial_id: {0: 0.1, 1: 0.3}}
    assert second.pruned == {trial.trial_id: 1}
    assert second.study.trials[0].state.name == "PRUNED"


class Search(tuning.Tuner):
    def run_trial(self, trial, *args, **kwargs):
        return float(trial.hyperparameters.Int("x", 0, 9))


def test_tuner_searches_through_a_storage_and_goes_on(tmp_path):
    def tuner(trials, **kwargs):
        kwargs = {"directory": tmp_path, "storage": str(tmp_path / "log"), **kwargs}
        return Search(max_trials=trials, **kwargs)

    first = tuner(3)
    assert first.oracle.algorithm == "tpe"
    first.search(verbose=0)
    again = tuner(5, directory=tmp_path / "elsewhere")
    assert again.results() == first.results()
    again.search(verbose=0)
    rows = again.results()
    assert [row["status"] for row in rows] == ["COMPLETED"] * 5
    assert len({row["value/x"] for row in rows}) == 5
    assert not list(tmp_path.rglob("oracle.json"))


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"algorithm": "bayesian"}, ValueError, "must be Optuna's: tpe, gp"),
        ({"overwrite": True}, ValueError, "`overwrite` must be False"),
        ({"storage": 3}, TypeError, "`storage` must be the URL"),
    ],
)
def test_errors_come_early(wrong, error, message, tmp_path):
    kwargs = {"storage": str(tmp_path / "log"), "directory": tmp_path, **wrong}
    with pytest.raises(error, match=message):
        Search(**kwargs)


def test_a_missing_driver_is_named_and_no_password_shown(tmp_path):
    url = "mssql+pymssql://me:secret@host/searches"
    with pytest.raises(ImportError, match="pip install 'pymssql'") as caught:
        Search(storage=url, directory=tmp_path)
    assert "secret" not in str(caught.value)


def test_a_study_with_other_objectives_is_refused(tmp_path):
    journal = str(tmp_path / "log")
    Search(storage=journal, directory=tmp_path)
    with pytest.raises(ValueError, match="must have the same objectives"):
        objective = keras_tuner.Objective("score", "max")
        Search(objective=objective, storage=journal, directory=tmp_path)


SCRIPT = """
import sys
import keras_tuner
from tests.tuning import faults
tuner = faults.Slow(
    hyperparameters=faults.space(*range(6)), max_trials=6, worker_timeout=6,
    objective=keras_tuner.Objective("score", "max"), directory=sys.argv[1],
    storage=sys.argv[2],
)
tuner.search(2.0, sys.argv[3], verbose=0)
"""


@pytest.mark.slow
def test_a_process_killed_in_a_trial_loses_nothing(storage, tmp_path):
    notes = tmp_path / "notes"
    notes.mkdir()
    env = {
        **os.environ,
        "KERAS_BACKEND": keras.backend.backend(),
        "PYTHONPATH": os.pathsep.join([os.getcwd(), *filter(None, sys.path)]),
    }
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), str(storage), str(notes)]
    processes = [subprocess.Popen(command, env=env) for _ in range(3)]
    try:
        until = time.monotonic() + 200
        while len(list(notes.iterdir())) < 2 and time.monotonic() < until:
            time.sleep(0.1)
        newest = max(notes.iterdir(), key=lambda file: file.stat().st_mtime_ns)
        x, _, pid = newest.name.partition("-")
        os.kill(int(pid), signal.SIGKILL)
        codes = [process.wait(300) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert sorted(codes) == [-signal.SIGKILL, 0, 0]
    tuner = faults.Slow(
        hyperparameters=faults.space(*range(6)),
        max_trials=6,
        objective=keras_tuner.Objective("score", "max"),
        directory=tmp_path,
        storage=str(storage),
    )
    rows = tuner.results()
    assert sorted(row["value/x"] for row in rows) == list(range(6))
    assert {row["status"] for row in rows} == {"COMPLETED"}
    runs = [f.name.partition("-")[0] for f in notes.iterdir()]
    assert sorted(runs) == sorted([*map(str, range(6)), x])


@pytest.mark.slow
def test_ray_starts_the_processes(tmp_path):
    """The recipe of docs/tuning.md, as it stands there but for the folder."""
    pytest.importorskip("ray")
    page = pathlib.Path("docs/tuning.md").read_text()
    (recipe,) = re.findall(r"```python\n(import ray\n.*?)```", page, re.DOTALL)
    recipe = recipe.replace("/shared/searches", str(tmp_path))
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([os.getcwd(), *sys.path])}
    command = [sys.executable, "-c", recipe]
    printed = subprocess.run(
        command, env=env, stdout=subprocess.PIPE, text=True, check=True, timeout=300
    ).stdout
    one, other = ast.literal_eval(printed.splitlines()[-1])
    assert len(one) == 6 and one == other


def test_the_stored_attributes_keep_their_strings():
    shared = _studies.shared_trials
    assert {
        "CLAIMED": shared.CLAIMED,
        "FINISHED": shared.FINISHED,
        "RETRY": shared.RETRY,
        "ORPHANED": shared.ORPHANED,
        "OVER_BUDGET": shared.OVER_BUDGET,
        "HEARTBEAT": shared.HEARTBEAT,
    } == {
        "CLAIMED": "keras_strategies:values",
        "FINISHED": "keras_strategies:ended",
        "RETRY": "keras_strategies:retry_of",
        "ORPHANED": "keras_strategies:lost",
        "OVER_BUDGET": "keras_strategies:surplus",
        "HEARTBEAT": "keras_strategies:alive",
    }


class Declared(tuning.Tuner):
    """A tuner whose trials are numbers of the space given outside."""

    def run_trial(self, trial, *args, **kwargs):
        return float(trial.hyperparameters.get("x"))


def declared(folder, low=0.0, high=1.0, choices=("a", "b"), **kwargs):
    space = keras_tuner.HyperParameters()
    space.Float("x", low, high)
    space.Choice("kind", list(choices))
    return Declared(
        hyperparameters=space, directory=folder, storage=folder / "journal.log",
        **{"algorithm": "random", "max_trials": 4, "seed": 1, **kwargs},
    )  # fmt: skip


def test_a_storage_is_checked_and_start_values_go_through_it(tmp_path):
    first = declared(tmp_path)
    for _ in range(2):
        first.enqueue({"x": 0.125, "kind": "b"})
    first.search(verbose=0)
    xs = [row["value/x"] for row in first.results()]
    assert xs[0] == 0.125 and xs.count(0.125) == 1 and len(xs) == 4
    # Another range holds from now on, for old trials too.
    wider = declared(tmp_path, 5.0, 6.0, max_trials=7)
    wider.search(verbose=0)
    rows = wider.results()
    assert [row["status"] for row in rows] == ["OUTSIDE"] * 4 + ["COMPLETED"] * 3
    assert all(5 <= row["value/x"] <= 6 for row in rows[4:])
    with pytest.raises(ValueError, match="`kind` must have the choices of the study"):
        declared(tmp_path, choices=("a", "c"), max_trials=9).search(verbose=0)
    other = declared(tmp_path, objective=keras_tuner.Objective("size", "min"))
    with pytest.raises(ValueError, match="The objective must be that of the search"):
        other.search(verbose=0)
    with pytest.raises(ValueError, match="`warm_start` needs"):
        declared(tmp_path, warm_start=first)
