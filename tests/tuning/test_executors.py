"""A search through executors, and what a chief asks of those who reach it."""

import concurrent.futures
import json
import multiprocessing
import os
import socket
import time

import keras
import keras_tuner
import numpy as np
import pytest

from keras_strategies import tuning
from keras_strategies.tuning._distributed import executor_search, parallel, rpc
from tests.tuning import faults

X = np.linspace(-1, 1, 24, dtype="float32").reshape(24, 1)


class Inline(concurrent.futures.Executor):
    """Runs each call at once, as bytes have gone to another process and back."""

    _max_workers = 2

    def __init__(self, broken_at=None):
        self.count, self.broken_at = 0, broken_at

    def submit(self, function, /, *args, **kwargs):
        future = concurrent.futures.Future()
        self.count += 1
        if self.count == self.broken_at:
            error = concurrent.futures.process.BrokenProcessPool("a process died")
            future.set_exception(error)
        else:
            future.set_result(function(*args, **kwargs))
        return future


def build(hp):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    rate = hp.Float("rate", 1e-3, 0.5, sampling="log")
    model.compile(keras.optimizers.SGD(rate), loss="mse", run_eagerly=True)
    return model


def make(folder, **kwargs):
    kwargs = {"algorithm": "random", "max_trials": 4, "seed": 1, **kwargs}
    return tuning.Tuner(build, "val_loss", directory=folder, **kwargs)


def fit(tuner, executor, **kwargs):
    data = {"x": X, "y": 2 * X, "validation_data": (X, 2 * X), "epochs": 2}
    tuner.search_parallel(executor=executor, verbose=0, **data, **kwargs)


def test_an_executor_gives_what_a_search_here_gives(tmp_path):
    tuner = make(tmp_path)
    fit(tuner, Inline())
    alone = make(tmp_path, project_name="alone")
    alone.search(X, 2 * X, validation_data=(X, 2 * X), epochs=2, verbose=0)
    for row, other in zip(tuner.results(), alone.results(), strict=True):
        assert row["score"] == pytest.approx(other["score"], rel=1e-5)
        assert row["value/rate"] == other["value/rate"]
    curves = {k: len(curve) for k, curve in tuner.oracle.curves.items()}
    assert set(curves.values()) == {2} and len(curves) == 4
    best = min(row["score"] for row in tuner.results())
    model = tuner.get_best_models()[0]
    assert model.evaluate(X, 2 * X, verbose=0) == pytest.approx(best, rel=1e-4)


def test_a_broken_executor_loses_nothing(tmp_path):
    tuner = make(tmp_path)
    with pytest.raises(RuntimeError, match="Start the same search again"):
        fit(tuner, Inline(broken_at=3))
    assert len(tuner.oracle.end_order) < 4
    again = make(tmp_path)
    fit(again, Inline())
    rows = again.results()
    assert len(rows) == len({row["value/rate"] for row in rows}) == 4
    assert {row["status"] for row in rows} == {"COMPLETED"}


class Reporting(tuning.Tuner):
    """Tells the oracle its metrics itself, as tuners did before KerasTuner 1.1."""

    def run_trial(self, trial, *args, **kwargs):
        x = trial.hyperparameters.Float("x", 0, 1)
        for step, score in enumerate((x, x + 2, x + 1)):
            self.oracle.update_trial(trial.trial_id, {"score": score}, step=step)
        if len(self.oracle.trials) == 3 and not os.environ.get("AGAIN"):
            raise KeyboardInterrupt


@pytest.mark.parametrize("executor", [None, Inline()])
def test_a_trial_may_report_its_metrics_itself(executor, tmp_path, monkeypatch):
    def run():
        tuner = Reporting(
            objective=keras_tuner.Objective("score", "max"),
            algorithm="random",
            max_trials=3,
            seed=1,
            directory=tmp_path,
        )
        with pytest.warns(DeprecationWarning, match="Return the metrics instead"):
            if executor is None:
                tuner.search(verbose=0)
            else:
                tuner.search_parallel(executor=executor, verbose=0)
        return tuner

    if executor is None:
        with pytest.raises(KeyboardInterrupt):
            run()
    monkeypatch.setenv("AGAIN", "1")
    tuner = run()
    for trial in tuner.oracle.get_best_trials(3):
        x = trial.hyperparameters.get("x")
        assert (trial.score, trial.best_step) == (pytest.approx(x + 2), 1)
        # Those of the interrupted run are gone.
        steps = trial.metrics.get_history("score")
        assert [len(step.value) for step in steps] == [1] * len(steps)


def test_errors_in_an_executor_are_those_of_trials(tmp_path):
    tuner = faults.Faulty(
        hyperparameters=faults.space(faults.RAISES, faults.NAN, faults.GOOD),
        algorithm="grid",
        directory=tmp_path,
    )
    tuner.search_parallel(executor=Inline(), verbose=0)
    messages = {row["value/x"]: row["message"] for row in tuner.results()}
    assert "no such layer" in messages[faults.RAISES]
    assert "is nan" in messages[faults.NAN] and messages[faults.GOOD] is None


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"pruner": "median"}, ValueError, "answers the reports of a trial that runs"),
        ({"storage": "journal.log"}, ValueError, "each process of the executor"),
    ],
)
def test_what_an_executor_cannot_do_is_said(arguments, error, message, tmp_path):
    if "storage" in arguments:
        arguments = {"storage": tmp_path / "journal.log", "algorithm": "tpe"}
    with pytest.raises(error, match=message):
        fit(make(tmp_path, **arguments), Inline())
    with pytest.raises(TypeError, match="must be a concurrent.futures.Executor"):
        fit(make(tmp_path), 5)
    context = multiprocessing.get_context("fork")
    with (
        concurrent.futures.ProcessPoolExecutor(1, context) as pool,
        pytest.raises(ValueError, match="must not fork its processes"),
    ):
        fit(make(tmp_path), pool)
    with pytest.raises(TypeError, match="`n_workers` must be an integer"):
        make(tmp_path).search_parallel(x=X, y=X)


def test_reports_in_a_process_of_an_executor_stay_there():
    class Oracle:
        objective = keras_tuner.Objective("loss", "min")

    local = executor_search.LocalReports(Oracle(), trial=None)
    assert local.report("0", 3, {"loss": 2.0}) == "RUNNING"
    assert local.report("0", 4, {"other": 2.0}) == "RUNNING"
    assert local.curve == {3: 2.0} and local.objective.name == "loss"


@pytest.mark.slow
def test_a_worker_of_dask_is_killed_in_a_trial(tmp_path):
    distributed = pytest.importorskip("distributed")
    notes = tmp_path / "notes"
    notes.mkdir()
    tuner = faults.Slow(
        hyperparameters=faults.space(*range(5)),
        objective=keras_tuner.Objective("score", "max"),
        algorithm="grid",
        directory=tmp_path,
    )
    thread, killed = faults.kill_a_worker(notes, 200)
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            dashboard_address=None,
            local_directory=str(tmp_path / "dask"),
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        thread.start()
        tuner.search_parallel(
            None, 2.0, str(notes), executor=client.get_executor(), verbose=0
        )
        thread.join()
    rows = tuner.results()
    assert killed
    assert sorted(row["value/x"] for row in rows) == list(range(5))
    assert {row["status"] for row in rows} == {"COMPLETED"}
    x = killed[0].partition("-")[0]
    runs = [file.name for file in notes.iterdir() if file.name.startswith(f"{x}-")]
    assert len(runs) == 2  # once more, and nothing else twice
    assert len(list(notes.iterdir())) == 6


# The chief


def test_a_chief_that_others_reach_needs_a_token(tmp_path, monkeypatch):
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "0.0.0.0")
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", "0")
    with pytest.raises(PermissionError, match="KERAS_STRATEGIES_TOKEN"):
        parallel.serve(None)
    assert parallel._is_loopback("127.0.0.1") and parallel._is_loopback("localhost")
    assert not parallel._is_loopback("10.0.0.1")
    assert not parallel._is_loopback("no-such-host.invalid")

    class Done:
        def is_done(self):
            return True

    monkeypatch.setenv("KERAS_STRATEGIES_TOKEN", "secret")
    parallel.serve(Done())
    monkeypatch.delenv("KERAS_STRATEGIES_TOKEN")
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    parallel.serve(Done())


def send(server, content):
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(content)
        with client.makefile("rb") as file:
            return file.readline()


def test_requests_that_are_none_end_without_an_answer(monkeypatch):
    class Oracle:
        seed = 7

    monkeypatch.setattr(rpc, "_WRONG_TOKEN_DELAY", 0.2)
    monkeypatch.setattr(rpc, "_MAX_LINE", 4096)
    request = {"token": "secret", "method": "seed", "arguments": {}}
    with rpc.OracleServer(Oracle(), token="secret") as server:
        assert send(server, json.dumps(request).encode() + b"\n") == b'{"result": 7}\n'
        for content in (b"GET / HTTP/1.1\n", b"[1]\n", b"{}\n"):
            assert send(server, content) == b""
        start = time.monotonic()
        wrong = json.dumps({**request, "token": "guess"}).encode() + b"\n"
        assert b"the token is wrong" in send(server, wrong)
        assert time.monotonic() - start >= 0.2
        monkeypatch.setattr(rpc, "_MAX_RATE", 2)
        start = time.monotonic()
        for _ in range(4):
            send(server, json.dumps(request).encode() + b"\n")
        assert time.monotonic() - start >= 1.0
