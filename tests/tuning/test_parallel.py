"""Several workers on one search: in threads here, as real processes when slow."""

import os
import socket
import subprocess
import sys
import threading
import time

import keras
import keras_tuner
import pytest
from keras_tuner.engine.trial import TrialStatus

from keras_strategies import tuning
from keras_strategies.tuning._distributed import rpc
from keras_strategies.tuning.oracles._search_state.workers import MAX_ORPHANED
from tests.tuning import faults


def oracle(folder, trials=4, name="random"):
    space = keras_tuner.HyperParameters()
    space.Float("x", 0, 1)
    kind = space.Choice("kind", ["a", "b"])
    with space.conditional_scope("kind", ["b"]):
        space.Int("n", 1, 9)
    assert kind == "a"
    cls = {"random": tuning.RandomSearchOracle, "tpe": tuning.OptunaOracle}[name]
    objective = keras_tuner.Objective("score", "max")
    made = cls(objective, max_trials=trials, seed=1, hyperparameters=space)
    made._set_project_dir(folder, "search")
    made.clock = Clock()
    return made


class Clock:
    """Time that passes when told so."""

    now = 0.0

    def __call__(self):
        return self.now


def end(remote, trial, score=1.0, message=None):
    if message is None:
        remote.update_trial(trial.trial_id, {"score": score})
    trial.status = TrialStatus.COMPLETED if message is None else TrialStatus.INVALID
    trial.message = message
    remote.end_trial(trial)


def remote_of(chief, server, token=""):
    return rpc.RemoteOracle(chief, "127.0.0.1", server.port, token, patience=5)


def test_a_remote_oracle_is_the_oracle(tmp_path):
    chief = oracle(tmp_path)
    with rpc.OracleServer(chief) as server:
        remote = remote_of(chief, server)
        names = [hp.name for hp in remote.get_space().space]
        assert names == ["x", "kind", "n"]  # the order that gRPC loses
        trial = remote.create_trial("w")
        assert trial.hyperparameters.values == chief.trials["0"].hyperparameters.values
        assert remote.report(trial.trial_id, 0, {"score": 0.5}) == "RUNNING"
        end(remote, trial, 0.7)
        second = remote.create_trial("w")
        end(remote, second, message="no such layer")
        assert chief.trials["0"].score == 0.7
        assert chief.trials["1"].message == "no such layer"  # which gRPC drops
        assert remote.get_best_trials(2)[0].score == 0.7
        with pytest.raises(RuntimeError, match="KeyError"):
            remote.get_trial("9")


def test_a_wrong_token_is_refused(tmp_path):
    chief = oracle(tmp_path)
    with rpc.OracleServer(chief, token="secret", methods=("report",)) as server:
        with pytest.raises(RuntimeError, match="token"):
            remote_of(chief, server).create_trial("w")
        with pytest.raises(RuntimeError, match="no such method"):
            remote_of(chief, server, "secret").create_trial("w")


def test_a_chief_that_is_gone_is_said():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    remote = rpc.RemoteOracle(None, "127.0.0.1", port, patience=0.3)
    with pytest.raises(ConnectionError, match="has not answered"):
        remote.create_trial("w")


def test_a_silent_workers_trial_goes_to_another_and_counts_once(tmp_path):
    chief = oracle(tmp_path, trials=1)
    chief.heartbeat_timeout = 60
    lost = chief.create_trial("a")
    assert chief.create_trial("b").status == TrialStatus.IDLE  # it may come back
    chief.clock.now = 61
    again = chief.create_trial("b")
    assert again.trial_id == lost.trial_id
    end(chief, again, 0.5)
    end(chief, lost, 0.9)  # the first worker was only slow
    assert len(chief.end_order) == 1
    assert chief.trials["0"].score == 0.5
    assert chief.create_trial("b").status == TrialStatus.STOPPED
    assert chief.is_done()


def test_signs_of_life_keep_a_trial(tmp_path):
    chief = oracle(tmp_path, trials=2)
    chief.heartbeat_timeout = 60
    trial = chief.create_trial("a")
    for epoch in range(4):
        chief.clock.now += 50
        chief.heartbeat("a") if epoch % 2 else chief.report(trial.trial_id, epoch, {})
        chief.requeue_expired()
    assert chief.ongoing_trials == {"a": trial}


def test_a_trial_that_takes_its_workers_down_is_given_up(tmp_path):
    chief = oracle(tmp_path, trials=1)
    for k in range(MAX_ORPHANED):
        assert chief.create_trial(f"w{k}").trial_id == "0"
        chief.drop_worker(f"w{k}", "killed by SIGKILL")
    assert chief.trials["0"].status == TrialStatus.FAILED
    assert "SIGKILL" in chief.trials["0"].message
    assert chief.is_done()


def test_a_restarted_chief_leaves_trials_to_their_workers(tmp_path):
    first = oracle(tmp_path)
    trial = first.create_trial("a")
    second = oracle(tmp_path)
    second.reload()
    second.resume_ongoing()
    other = second.create_trial("b")
    assert other.trial_id != trial.trial_id
    end(second, trial, 0.4)
    assert second.trials[trial.trial_id].score == 0.4
    assert set(second.ongoing_trials) == {"b"}


@pytest.mark.parametrize("name", ["random", "tpe"])
def test_threads_share_the_trials(name, tmp_path):
    chief = oracle(tmp_path, trials=12, name=name)
    ran = []
    with rpc.OracleServer(chief) as server:

        def work(tuner_id):
            remote = remote_of(chief, server)
            while True:
                trial = remote.create_trial(tuner_id)
                if trial.status == TrialStatus.STOPPED:
                    return
                ran.append(trial.trial_id)
                end(remote, trial)

        threads = [threading.Thread(target=work, args=(f"w{k}",)) for k in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert sorted(ran) == sorted(chief.trials)
    assert len(ran) == 12
    assert chief.is_done()


def slow_search(folder, trials=6, **kwargs):
    return faults.Slow(
        hyperparameters=faults.space(*range(trials)),
        objective=keras_tuner.Objective("score", "max"),
        algorithm="grid",
        directory=folder,
        **kwargs,
    )


@pytest.mark.slow
def test_killed_worker_loses_nothing(tmp_path):
    notes = tmp_path / "notes"
    notes.mkdir()
    tuner = slow_search(tmp_path)
    thread, killed = faults.kill_a_worker(notes, 120)
    thread.start()
    tuner.search_parallel(2, 2.0, str(notes), verbose=0)
    thread.join()
    rows = tuner.results()
    assert killed
    assert sorted(row["value/x"] for row in rows) == list(range(6))
    assert {row["status"] for row in rows} == {"COMPLETED"}
    x = killed[0].partition("-")[0]
    runs = [file.name for file in notes.iterdir() if file.name.startswith(f"{x}-")]
    assert len(runs) == 2
    pids = {file.name.partition("-")[2] for file in notes.iterdir()}
    assert len(pids) >= 2


SCRIPT = """
import sys
import keras_tuner
from tests.tuning import faults
tuner = faults.Slow(
    hyperparameters=faults.space(*range(6)), algorithm="grid", directory=sys.argv[1],
    objective=keras_tuner.Objective("score", "max"), worker_timeout=4,
)
tuner.search(2.0, sys.argv[2], verbose=0)
"""


def part(name, port, folder, notes):
    env = {
        **os.environ,
        "KERASTUNER_TUNER_ID": name,
        "KERASTUNER_ORACLE_IP": "127.0.0.1",
        "KERASTUNER_ORACLE_PORT": str(port),
        "KERAS_BACKEND": keras.backend.backend(),
        "PYTHONPATH": os.pathsep.join([os.getcwd(), *filter(None, sys.path)]),
    }
    command = [sys.executable, "-c", SCRIPT, str(folder), str(notes)]
    return subprocess.Popen(command, env=env)


@pytest.mark.slow
def test_chief_and_worker_killed_and_the_search_ends(tmp_path):
    notes = tmp_path / "notes"
    notes.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    chief = part("chief", port, tmp_path, notes)
    workers = [part(f"worker{k}", port, tmp_path, notes) for k in range(2)]
    try:
        until = time.monotonic() + 200
        while len(list(notes.iterdir())) < 2 and time.monotonic() < until:
            time.sleep(0.1)
        chief.kill()
        chief.wait()
        chief = part("chief", port, tmp_path, notes)
        workers[1].kill()
        assert workers[0].wait(240) == 0
        assert chief.wait(120) == 0
    finally:
        for process in (chief, *workers):
            process.kill()
            process.wait()
    rows = slow_search(tmp_path).results()
    assert sorted(row["value/x"] for row in rows) == list(range(6))
    assert {row["status"] for row in rows} == {"COMPLETED"}
