"""Trials in processes of their own: each fault is recorded, the search goes on."""

import subprocess
import sys
import types

import keras
import numpy as np
import pytest
from keras_tuner import errors

from keras_strategies import tuning
from keras_strategies.tuning._distributed import IsolatedTrials
from tests.tuning import faults


def run(folder, *kinds, **kwargs):
    tuner = faults.Faulty(
        hyperparameters=faults.space(*kinds),
        algorithm="grid",
        directory=folder,
        trial_in_subprocess=True,
        **kwargs,
    )
    tuner.search(verbose=0)
    return {row["value/x"]: row for row in tuner.results()}


def test_a_trial_that_kills_its_process_is_recorded(tmp_path):
    with pytest.raises(RuntimeError, match="(?s)No trial completed.*SIGKILL"):
        run(tmp_path, faults.KILLED)


@pytest.mark.slow
def test_every_fault_is_recorded_with_its_reason(tmp_path):
    rows = run(
        tmp_path,
        *(faults.RAISES, faults.NAN, faults.MEMORY, faults.HANGS, faults.KILLED),
        faults.GOOD,
        trial_time_limit=10,
        trial_memory_limit=2000,
    )
    reasons = {
        faults.RAISES: "ValueError: no such layer",
        faults.NAN: "is nan",
        faults.MEMORY: "MemoryError",
        faults.HANGS: "ran longer than `trial_time_limit`",
        faults.KILLED: "SIGKILL",
    }
    for kind, reason in reasons.items():
        assert rows[kind]["status"] == "FAILED"
        assert reason in rows[kind]["message"]
    assert rows[faults.GOOD]["status"] == "COMPLETED"


def build(hp):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(hp.Float("rate", 0.01, 0.1)), loss="mse")
    return model


@pytest.mark.slow
def test_a_model_trained_in_a_process_is_rebuilt_here(tmp_path):
    x = np.linspace(-1, 1, 32).reshape(32, 1)
    tuner = tuning.Tuner(
        build, "val_loss", 3, "random", "median", tmp_path, seed=1,
        trial_in_subprocess=True,
    )  # fmt: skip
    tuner.search(x, 2 * x, validation_data=(x, 2 * x), epochs=2, verbose=0)
    best = tuner.get_best_models()[0].evaluate(x, 2 * x, verbose=0)
    assert best == pytest.approx(min(r["score"] for r in tuner.results()), rel=1e-4)
    assert {len(curve) for curve in tuner.oracle.curves.values()} == {2}


PROCESS = """
import pathlib, sys, time
wait, begun, work, found = sys.argv[1:]
time.sleep(float(wait))
pathlib.Path(begun).touch()
time.sleep(float(work))
pathlib.Path(found).touch()
"""


@pytest.mark.parametrize(("wait", "work", "limit"), [(2, 0, 1.9), (0, 600, 0.1)])
def test_the_time_of_a_trial_counts_from_its_own_start(wait, work, limit, tmp_path):
    tuner = types.SimpleNamespace(trial_time_limit=limit)
    trial = IsolatedTrials(tuner, (), {})
    begun, found = (str(tmp_path / name) for name in ("begun", "found"))
    command = [sys.executable, "-S", "-c", PROCESS, str(wait), begun, str(work), found]
    process = subprocess.Popen(command)
    if work:
        with pytest.raises(errors.FailedTrialError, match="longer than"):
            trial._wait(process, begun, found)
    else:
        trial._wait(process, begun, found)
        assert process.returncode == 0
    assert process.poll() is not None


def test_what_cannot_be_pickled_is_said(tmp_path):
    tuner = tuning.Tuner(build, "loss", 1, directory=tmp_path, trial_in_subprocess=True)
    with pytest.raises(TypeError, match="must be picklable"):
        tuner.search((n for n in range(3)), verbose=0)


def test_limits_need_a_process(tmp_path):
    with pytest.raises(ValueError, match="trial_in_subprocess=True"):
        tuning.Tuner(build, "loss", directory=tmp_path, trial_time_limit=5)
