"""Throughput of two processes beside one, with the processors held equal.

    scripts/benchmark distributed [--rounds N]

A small convolutional network on batches of 256: plain `fit` in one process that has two
processors and two threads, and a group of two processes in `distributed.scope`, each
with one processor and one thread. The two take turns for `N` rounds (3), and the
fastest epoch of each counts. A ratio of 1 would be a group that costs nothing; the
rest is what exchanging gradients over the loopback takes. The losses must agree.
`KERAS_BACKEND` chooses the backend: JAX or TensorFlow.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

from keras_strategies._internal.reports import text_table
from keras_strategies.training import distributed

JOB = Path(__file__).with_name("_distributed_job.py")


def _measure(workers, cores, folder):
    result = Path(folder) / f"{workers}.json"
    settings = {"result": str(result), "cores": cores}
    text = json.dumps(settings)
    if workers == 1:
        subprocess.run([sys.executable, str(JOB), text], check=True)
    elif code := distributed.launch(JOB, [text], workers=workers, max_restarts=0):
        sys.exit(f"distributed: the group ended with exit code {code}")
    return json.loads(result.read_text())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    first, second = sorted(os.sched_getaffinity(0))[:2]
    found = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(rounds):
            found[1].append(_measure(1, [[first, second]], folder))
            found[2].append(_measure(2, [[first], [second]], folder))
    one, two = (max(run["rows"] for run in found[count]) for count in (1, 2))
    losses = zip(found[1][0]["loss"], found[2][0]["loss"], strict=True)
    difference = max(abs(a - b) for a, b in losses)
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    print("Rows a second; two processors in all")
    print(
        text_table(
            ["backend", "one process", "two processes", "loss differs by", "ratio"],
            [
                [
                    backend,
                    f"{one:,.0f}",
                    f"{two:,.0f}",
                    f"{difference:.0e}",
                    f"{two / one:.2f}",
                ]
            ],
            [True, False, False, False, False],
        )
    )


if __name__ == "__main__":
    main()
