"""How often `compress` says that a budget is met which is not.

`compress` runs with small validation sets, with true and with random labels; whether
its model is over the budget is measured on thousands of other samples of the same kind.
"By the search" is whether the drop on the samples that it chose on is within it.

    scripts/benchmark compress_gate [--runs N] [--first SEED] [--rows FILE]

With `--rows` each run is appended to a file, those in it are not run again, and the
table is that of all runs in it.
"""

import argparse
import json
import os
import pathlib
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers

from keras_strategies import compression

BUDGET = 2.0
SIZES = (40, 300, 1200)
_FRESH = 2000


def _data(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(8000, 16)).astype("float32")
    weights = rng.normal(size=(16, 3))
    y = (x @ weights + 0.5 * rng.normal(size=(8000, 3))).argmax(1)
    return x, y


def one(seed, size, random_labels):
    """`(met, met by the search, really over the budget)` of one run."""
    x, y = _data(seed)
    if random_labels:
        y = np.random.default_rng(1000 + seed).integers(0, 3, len(y))
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((16,)),
            layers.Dense(32, activation="relu"),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x[:600], y[:600], epochs=6, verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = compression.compress(
            model,
            (x[:600], y[:600]),
            validation_data=(x[600 : 600 + size], y[600 : 600 + size]),
            budget=BUDGET,
            max_candidates=3,
            epochs=1,
            seed=seed,
            verbose=0,
        )
    fresh, labels = x[_FRESH:], y[_FRESH:]
    scores = [
        np.mean(m.predict(fresh, verbose=0).argmax(1) == labels)
        for m in (model, result.model)
    ]
    return result.met, result.chosen["met"], 100 * (scores[0] - scores[1]) > BUDGET


def _table(rows):
    """Prints the counts for each number of samples and kind of labels."""
    print(
        "| Samples | Labels | Runs | Over budget | Met | Wrongly "
        "| By the search | Wrongly |"
    )
    print("|---|---|---|---|---|---|---|---|")
    totals = np.zeros(6, int)
    for size in SIZES:
        for random_labels in (False, True):
            kind = [size, random_labels]
            outcomes = [row["outcome"] for row in rows if row["kind"] == kind]
            met, searched, over = np.array(outcomes, bool).reshape(-1, 3).T
            columns = (over, met, met & over, searched, searched & over)
            counts = [len(over), *(int(column.sum()) for column in columns)]
            totals += np.array(counts)
            labels = "random" if random_labels else "true"
            print(f"| {size} | {labels} | " + " | ".join(map(str, counts)) + " |")
    print("| all | | " + " | ".join(map(str, totals)) + " |")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--rows", type=pathlib.Path)
    args = parser.parse_args()
    kinds = [(size, labels) for size in SIZES for labels in (False, True)]
    rows = []
    if args.rows is not None and args.rows.exists():
        rows = [json.loads(line) for line in args.rows.read_text().splitlines()]
    done = {row["seed"] for row in rows}
    for seed in range(args.first, args.first + args.runs):
        if seed in done:
            continue
        kind = kinds[seed % len(kinds)]
        outcome = [bool(value) for value in one(seed, *kind)]
        rows.append({"seed": seed, "kind": list(kind), "outcome": outcome})
        if args.rows is not None:
            with args.rows.open("a") as file:
                file.write(json.dumps(rows[-1]) + "\n")
    _table(rows)


if __name__ == "__main__":
    main()
