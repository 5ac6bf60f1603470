"""Trainings that are killed at random, and what a checkpoint costs.

    scripts/benchmark resume [--points N] [--sizes MB ...] [--rounds N]

`N` times (20) a training of five epochs is killed at a random call of a hook,
or within a save: while bytes are written, before the rename, before an old checkpoint
is removed. It is started again and its end compared with that of a training that was
never
killed: weights, optimizer, metrics, history, callbacks, log file and random states.
Then a save of models of 1, 10 and 500 MB: how long the training waits, beside a bare
copy of the same arrays, and how long until the checkpoint is on the disk.
`KERAS_BACKEND` chooses the backend.
"""

import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

JOB = pathlib.Path(__file__).with_name("_resume_job.py")
# What is counted, and about how many of it a training has.
MOMENTS = {
    "train_batch_begin": 34,
    "train_batch_end": 34,
    "test_begin": 5,
    "epoch_end": 5,
    "bytes": 110_000,
    "rename": 14,
    "remove": 11,
}


class Trainings:
    """A process that forks one for each training."""

    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(JOB)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, **job):
        """Runs one training; returns its digest, or the signal that ended it."""
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self):
        self._process.stdin.close()
        self._process.wait()


def kill_points(points, rng, folder, trainings):
    """Kills trainings; returns which of them ended with the same bits."""
    whole = trainings.run(directory=str(folder / "whole"), seed=0, kill=["", 1])
    results = []
    for index in range(points):
        what = rng.choice(list(MOMENTS))
        count = rng.randint(1, MOMENTS[what])
        directory, kill = str(folder / f"{index}"), [what, count]
        ended = trainings.run(directory=directory, seed=0, kill=kill)
        again = trainings.run(directory=directory, seed=0, kill=["", 1])
        left = list((folder / f"{index}/checkpoints").glob(".*"))
        killed, same = ended.get("signal") == 9, again == whole and not left
        results.append(same)
        end = "killed" if killed else "ended before"
        print(f"{what:20}{count:8}  {end:12} {'same' if same else 'DIFFERENT'}")
        sys.stdout.flush()
    return results


def save_cost(megabytes, rounds, folder):
    """Milliseconds that a training waits, of a bare copy, and until it is written."""
    import keras
    import numpy as np

    from keras_strategies.training._resume import variables
    from keras_strategies.training._resume.storage import LocalStorage
    from keras_strategies.training._resume.store import CheckpointStore

    units = max(1, megabytes // 10)
    side = int((megabytes * 1e6 / 4 / units / 3) ** 0.5)
    stack = [keras.layers.Dense(side, use_bias=False) for _ in range(units)]
    model = keras.Sequential([keras.Input((side,)), *stack])
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    groups = variables.variables_of(model)
    arrays = [
        np.array(keras.ops.convert_to_numpy(v)) for g in groups.values() for v in g
    ]
    size = sum(a.nbytes for a in arrays) / 1e6
    buffers = [np.empty_like(a) for a in arrays]
    copies = variables.HostCopies()
    storage = LocalStorage(folder / f"cost-{megabytes}")
    store = CheckpointStore(storage, 1, None, None, "raise", True, False)
    store.open()
    waits, bare, total = [], [], []
    info = {"epoch": 0, "step": 1, "finished": False, "logs": {}}
    for _ in range(rounds + 1):  # the first maps the memory
        begin = time.perf_counter()
        for array, buffer in zip(arrays, buffers, strict=True):
            np.copyto(buffer, array)
        bare.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        described, copied = copies.take(groups)
        store.save(info, {"variables": described}, copied, None)
        waits.append(time.perf_counter() - begin)
        store.wait()
        total.append(time.perf_counter() - begin)
    store.close()
    return size, *(1e3 * sorted(t[1:])[rounds // 2] for t in (waits, bare, total))


def main():
    # Beside this script are files named like modules that JAX imports.
    sys.path[:] = [path for path in sys.path if path != str(JOB.parent)]
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--points", type=int, default=20)
    parser.add_argument("--sizes", type=int, nargs="*", default=[1, 10, 500])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    backend = os.environ["KERAS_BACKEND"]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        if arguments.points:
            trainings = Trainings()
            rng = random.Random(arguments.seed)
            results = kill_points(arguments.points, rng, folder, trainings)
            trainings.close()
            print(f"{backend}: {sum(results)} of {len(results)} are bit-identical")
        if arguments.sizes:
            heads = ["MB", "waits ms", "bare copy ms", "ratio", "written after ms"]
            costs = [save_cost(m, arguments.rounds, folder) for m in arguments.sizes]
            print_table(heads, costs)


def print_table(heads, costs):
    from keras_strategies._internal.reports import text_table

    rows = [
        [
            f"{size:.0f}",
            f"{waits:.1f}",
            f"{bare:.1f}",
            f"{waits / bare:.2f}",
            f"{total:.0f}",
        ]
        for size, waits, bare, total in costs
    ]
    print()
    print(text_table(heads, rows, [True, False, False, False, False]))


if __name__ == "__main__":
    main()
