"""Real processes, killed for real: within hooks, within saves, and by SIGTERM."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

JOB = pathlib.Path(__file__).parents[3] / "scripts" / "benchmarks" / "_resume_job.py"
ROOT = JOB.parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def train():
    """Runs one training in a process of its own; returns its digest, or its signal."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-P", str(JOB)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:

        def run(directory, kill=("", 1), seed=0):
            job = {"directory": str(directory), "seed": seed, "kill": kill}
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield run
        process.stdin.close()
        process.wait()


@pytest.fixture(scope="module")
def whole(train, tmp_path_factory):
    return train(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize(
    "kill",
    [
        ("train_batch_end", 18),
        ("test_begin", 2),
        ("bytes", 40_000),
        ("rename", 3),
        ("remove", 2),
    ],
    ids=lambda kill: kill[0],
)
def test_a_killed_training_goes_on_bit_for_bit(train, whole, tmp_path, kill):
    assert train(tmp_path, kill) == {"signal": signal.SIGKILL}
    assert train(tmp_path, seed=5) == whole  # another seed: all of it is put back
    assert not list((tmp_path / "checkpoints").glob(".*"))


def test_killed_again_and_again(train, whole, tmp_path):
    for count in (9, 12, 4, 15, 7):
        train(tmp_path, ("train_batch_begin", count))
    assert train(tmp_path) == whole


SCRIPT = """
import sys
import keras, numpy as np
from keras_strategies import training
class Slow(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        print("step", flush=True)
        import time; time.sleep(0.2)
x = np.ones((80, 2), "float32")
model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
model.compile("sgd", "mse")
resumable = training.ResumableTraining(sys.argv[1], verbose=0)
model.fit(training.IndexedDataset((x, x[:, :1]), 4), callbacks=[resumable, Slow()],
          epochs=50, verbose=0)
"""


def test_sigterm_and_a_second_process(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "run")]
    options = {"stdout": subprocess.PIPE, "env": environment, "text": True}
    with subprocess.Popen(command, **options) as first:
        assert first.stdout.readline()
        other = subprocess.run(
            command, stderr=subprocess.PIPE, check=False, timeout=120, **options
        )
        assert other.returncode == 1
        assert f"process {first.pid} on" in other.stderr
        first.send_signal(signal.SIGTERM)
        begin = time.monotonic()
        first.communicate(timeout=60)
        assert first.returncode == 143
        assert time.monotonic() - begin < 20
    names = [path.name for path in (tmp_path / "run").glob("checkpoint-*")]
    assert names
    assert all((tmp_path / "run" / n / "manifest.json").exists() for n in names)
