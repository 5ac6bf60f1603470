"""Trainings in other processes give the same result; a dead executor loses nothing."""

import concurrent.futures
import os
import signal
import subprocess
import sys
import textwrap
import time

import keras
import numpy as np
import pytest

from keras_strategies import ablation
from keras_strategies._internal.processes.executors import (
    Heartbeat,
    as_executor,
    capacity_of,
)
from keras_strategies.ablation._runs import plans
from keras_strategies.ablation._runs.execution import OutOfTime, Runner
from keras_strategies.ablation._runs.log import Log
from keras_strategies.ablation._runs.training import Job
from tests.ablation import networks

JOBS = [Job((), run) for run in range(3)] + [Job(("adam",), run) for run in range(2)]


class DyingExecutor(concurrent.futures.Executor):
    """Runs two jobs here, then breaks as a pool whose process was killed."""

    def __init__(self):
        self.left = 2

    def submit(self, function, /, *arguments):
        future = concurrent.futures.Future()
        if self.left:
            self.left -= 1
            future.set_result(function(*arguments))
        else:
            future.set_exception(concurrent.futures.BrokenExecutor("gone"))
        return future


def test_an_executor_that_dies(tmp_path):
    with Log(tmp_path) as log:
        runner = Runner(networks.setup(epochs=1), log, DyingExecutor(), 1)
        with pytest.raises(RuntimeError, match="executor must live.*stored=2"):
            runner.run(JOBS)
    with Log(tmp_path) as log:
        assert len(log) == 2


class BrokenExecutor(concurrent.futures.Executor):
    """Runs one job here, then fails in a way of its own."""

    def __init__(self, kind):
        self.kind, self.left = kind, 1

    def submit(self, function, /, *arguments):
        future = concurrent.futures.Future()
        if self.left:
            self.left -= 1
            future.set_result(function(*arguments))
        elif self.kind == "cancelled":
            future.cancel()
            future.set_running_or_notify_cancel()
        elif self.kind == "remote":
            future.set_exception(ModuleNotFoundError("No module named 'mine'"))
        else:
            raise RuntimeError("cannot schedule new futures after shutdown")
        return future


@pytest.mark.parametrize("kind", ["cancelled", "remote", "shut down"])
def test_executors_that_fail_in_other_ways(tmp_path, kind):
    """One error that names what was lost; what had ended is stored."""
    with Log(tmp_path) as log:
        runner = Runner(networks.setup(epochs=1), log, BrokenExecutor(kind), 1)
        expected = "executor must live.*stored=1, .*Call `study` with the same"
        with pytest.raises(RuntimeError, match=expected):
            runner.run(JOBS[:3])
        assert len(log) == 1


def test_executors_that_fork_are_refused():
    """They would wait for ever: checked once by hand, for it never ends."""
    import multiprocessing
    import multiprocessing.pool

    fork, spawn = (multiprocessing.get_context(name) for name in ("fork", "spawn"))
    with (
        concurrent.futures.ProcessPoolExecutor(1, mp_context=fork) as pool,
        pytest.raises(ValueError, match="must not fork.*'spawn'"),
    ):
        as_executor(pool)
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as pool:
        assert as_executor(pool) is pool
    with multiprocessing.pool.ThreadPool(3) as pool:
        assert capacity_of(as_executor(pool)) == 3


class Client:
    """What the study asks of Dask's client."""

    workers: dict[str, int] = {}

    def submit(self, function, value):
        return function(value)

    def nthreads(self):
        return self.workers


def test_a_cluster_without_workers():
    """Dask would wait for ever."""
    executor, client = BrokenExecutor("remote"), Client()
    executor._client = client
    client.workers = {"tcp://1": 3, "tcp://2": 2}
    assert capacity_of(executor) == 5
    heartbeat = Heartbeat(executor, patience=0.05)
    time.sleep(0.1)
    heartbeat.check()
    client.workers = {}
    heartbeat.check()
    time.sleep(0.1)
    with pytest.raises(RuntimeError, match="no worker for"):
        heartbeat.check()
    assert capacity_of(executor) == 1
    Heartbeat(concurrent.futures.Executor()).check()


def test_capacity():
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        assert capacity_of(pool) == 3
    assert capacity_of(BrokenExecutor("remote")) == os.cpu_count()


def test_threads_give_what_this_process_gives():
    """Any executor will do, and each job runs once."""
    setup = networks.setup(epochs=1)
    with Log(None) as here, Log(None) as there:
        Runner(setup, here, None, 1).run(JOBS[:2])
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            runner = Runner(setup, there, pool, 1)
            runner.run(JOBS[:1])
            runner.run(JOBS[:2])
        for job in JOBS[:2]:
            first, second = here.get(job.key), there.get(job.key)
            assert first["value"] == second["value"]
            assert first["initial"] == second["initial"]


def test_a_pool_is_an_executor():
    import multiprocessing.pool

    setup = networks.setup(epochs=1)
    with multiprocessing.pool.ThreadPool(1) as pool, Log(None) as log:
        runner = Runner(setup, log, as_executor(pool), 1)
        runner.run(JOBS[:1])
        assert log.get(JOBS[0].key)["value"] > 0

        def broken(digest, payload, job):
            raise OSError("no such machine")

        with pytest.raises(OSError, match="no such machine"):
            as_executor(pool).submit(broken, 1, 2, 3).result()


def test_the_deadline():
    with Log(None) as log:
        late = Runner(networks.setup(), log, None, 1, deadline=time.monotonic() - 1)
        with pytest.raises(OutOfTime):
            late.run(JOBS)
        assert len(log) == 0


def test_what_cannot_be_pickled_is_named():
    pytest.importorskip("cloudpickle")
    lock = __import__("threading").Lock()

    def build():
        return lock and networks.build()

    with Log(None) as log:
        pool = concurrent.futures.ThreadPoolExecutor(1)
        with pytest.raises(TypeError, match="must be picklable"), pool:
            Runner(networks.setup(build), log, pool, 1)._pickled()


def test_plans_are_made_for_long_trainings_only():
    assert not plans.pays({"seconds": 2.0}, 100)
    assert not plans.pays({"seconds": 40.0}, 3)
    assert plans.pays({"seconds": 40.0}, 20)
    assert not plans.pays({"error": "x"}, 100)


def test_plans_leave_batches_to_callbacks():
    catalog = ablation.catalog()
    for name, acts in (("ema", True), ("one_cycle", True), ("early_stopping", False)):
        callbacks = catalog[name].make_callbacks(10, 5)
        assert any(map(plans.acts_on_batches, callbacks)) == acts, name


def test_a_plan_is_stored_and_its_failure_noted(tmp_path, monkeypatch):
    def eager():
        model = networks.build()
        model.compile("sgd", networks.LOSS, metrics=["accuracy"], run_eagerly=True)
        return model

    monkeypatch.setattr(plans, "pays", lambda record, trainings: True)
    with Log(tmp_path) as log:
        runner = Runner(networks.setup(eager, epochs=1), log, None, 1)
        runner.run(JOBS[:1])
        runner.run(JOBS[1:2], remaining=5)
        assert len(runner.notes) == 1
        assert runner.notes[0].startswith("baseline trained without an execution plan")
    with Log(tmp_path) as log:
        assert log.plans == {"baseline": None}
        runner = Runner(networks.setup(eager, epochs=1), log, None, 1)
        assert runner._planned(JOBS[2], 5).plan is None and not runner.notes


@pytest.mark.slow
@pytest.mark.tensorflow
def test_a_plan_is_measured_once_and_reused(monkeypatch):
    monkeypatch.setattr(plans, "pays", lambda record, trainings: True)
    monkeypatch.setattr(plans, "BUDGET", 5.0)
    measured = []
    original = plans.measure
    monkeypatch.setattr(plans, "measure", lambda *a: measured.append(a) or original(*a))
    setup = networks.setup(epochs=3)
    with Log(None) as log, Log(None) as plain:
        runner = Runner(setup, log, None, 1)
        runner.run(JOBS[:1], remaining=5)
        runner.run(JOBS[:3], remaining=5)
        assert len(measured) == 1
        Runner(setup, plain, None, 1).run(JOBS[:3])
        for job in JOBS[:3]:
            expected = plain.get(job.key)["history"]["loss"]
            found = log.get(job.key)["history"]["loss"]
            np.testing.assert_allclose(found, expected, rtol=1e-3)


SCRIPT = """
    import sys
    import keras
    import numpy as np
    from keras_strategies import ablation

    def build():
        stack = [keras.Input((4,)), keras.layers.Dense(2, activation="softmax")]
        model = keras.Sequential(stack)
        loss = "sparse_categorical_crossentropy"
        model.compile(keras.optimizers.SGD(1e-4), loss, metrics=["accuracy"])
        return model

    rng = np.random.default_rng(0)
    y = (np.arange(120) % 2).astype("int32")
    x = (rng.normal(size=(120, 4)) + 1.5 * np.eye(4)[y]).astype("float32")
    strategies = {
        "adam": ablation.Strategy(
            "adam", optimizer=lambda old: keras.optimizers.Adam(0.05)
        ),
        "null": ablation.Strategy("null", data=lambda x, y: (x[::-1], y[::-1])),
    }
    result = ablation.study(
        build, (x, y), strategies, metric="loss", seeds=3, max_seeds=6, epochs=1,
        seed=0, verbose=0, directory=sys.argv[1], workers=int(sys.argv[2]),
    )
    rows = [{k: v for k, v in r.items() if k != "time_ratio"} for r in result.rows]
    print(rows)
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """A script without a guard of its main module, as users write them."""
    path = tmp_path_factory.mktemp("script") / "script.py"
    path.write_text(textwrap.dedent(SCRIPT))
    return path


def run(script, directory, workers=1, **options):
    command = [sys.executable, str(script), str(directory), str(workers)]
    environment = {**os.environ, "KERAS_BACKEND": keras.backend.backend()}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, text=True, **options
    )


@pytest.mark.slow
def test_workers_give_the_same_table(script, tmp_path):
    pytest.importorskip("cloudpickle")
    tables = []
    for workers in (1, 2):
        process = run(script, tmp_path / str(workers), workers)
        tables.append(process.communicate(timeout=600)[0])
        assert process.returncode == 0
    assert tables[0] == tables[1] != ""


@pytest.mark.slow
def test_killed_studies_go_on(script, tmp_path):
    """Killed at ten moments and started again, the table is that of a whole run."""
    whole = run(script, tmp_path / "whole").communicate(timeout=600)[0]
    rng = np.random.default_rng(0)
    kills, path = 0, tmp_path / "killed" / "trainings.jsonl"
    for stored in range(1, 11):
        process = run(script, tmp_path / "killed")
        # The moment is random around the end of a training, where files change.
        while process.poll() is None and (
            not path.exists() or len(path.read_text().splitlines()) < stored
        ):
            time.sleep(0.01)
        time.sleep(float(rng.uniform(0, 0.5)))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.communicate()
    assert kills >= 8
    again = run(script, tmp_path / "killed").communicate(timeout=600)[0]
    assert again == whole != ""


@pytest.mark.slow
@pytest.mark.tensorflow
def test_dask_runs_trainings(tmp_path):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
        Log(tmp_path) as log,
        Log(None) as here,
    ):
        setup = networks.setup(epochs=1)
        Runner(setup, log, client.get_executor(), 1).run(JOBS)
        Runner(setup, here, None, 1).run(JOBS[:1])
        assert len(log) == len(JOBS)
        assert log.get(JOBS[0].key)["value"] == here.get(JOBS[0].key)["value"]


def test_public_names():
    assert {"study", "catalog", "learning_curve"} <= set(ablation.__all__)
