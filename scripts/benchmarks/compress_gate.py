"""How often `compress` says that a budget is met which is not.

`compress` runs with small validation sets, with true and with random labels; whether
its model is over the budget is measured on thousands of other samples of the same kind.
Before, `met` was whether the drop on the validation data was within the budget.

    scripts/benchmark compress_gate [--runs N]
"""

import argparse
import os
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers

from keras_strategies import compression

BUDGET = 2.0
SIZES = (40, 100, 400)


def _data(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(6000, 16)).astype("float32")
    weights = rng.normal(size=(16, 3))
    y = (x @ weights + 0.5 * rng.normal(size=(6000, 3))).argmax(1)
    return x, y


def one(seed, size, random_labels):
    """`(met now, met before, really over the budget)` of one run."""
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
    fresh, labels = x[1500:], y[1500:]
    scores = [
        np.mean(m.predict(fresh, verbose=0).argmax(1) == labels)
        for m in (model, result.model)
    ]
    return result.met, result.chosen["met"], 100 * (scores[0] - scores[1]) > BUDGET


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=100)
    args = parser.parse_args()
    kinds = [(size, labels) for size in SIZES for labels in (False, True)]
    found = {kind: [] for kind in kinds}
    for seed in range(args.runs):
        kind = kinds[seed % len(kinds)]
        found[kind].append(one(seed, *kind))
    print("| Samples | Labels | Runs | Over budget | Wrongly met before | Now |")
    print("|---|---|---|---|---|---|")
    totals = np.zeros(4, int)
    for (size, random_labels), rows in found.items():
        rows = np.array(rows, bool).reshape(-1, 3)
        counts = [
            len(rows),
            rows[:, 2].sum(),
            (rows[:, 1] & rows[:, 2]).sum(),
            (rows[:, 0] & rows[:, 2]).sum(),
        ]
        totals += np.array(counts)
        labels = "random" if random_labels else "true"
        print(f"| {size} | {labels} | " + " | ".join(map(str, counts)) + " |")
    print("| all | | " + " | ".join(map(str, totals)) + " |")


if __name__ == "__main__":
    main()
