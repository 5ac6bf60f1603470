"""A row in a loop: `training.predictor` beside `predict` and `predict_on_batch`.

    scripts/benchmark predictor [--rounds N]

A network of 24-24 units predicts one row at a time, and 10,000 rows at once; a small
convolutional network the same with one image and 1,000. The three ways take turns for
`N` rounds (5); the shortest time of a call counts, since other work on the machine only
adds to it. Figures are times in microseconds and ratios to the two peers, and the
largest difference of the outputs. `KERAS_BACKEND` chooses the backend.
"""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from keras_strategies import training
from keras_strategies._internal.reports import text_table

AIMS = {"tensorflow": (300, 2), "jax": (20, 3), "torch": (50, 10)}


def _mlp():
    layers = [keras.Input((24,)), keras.layers.Dense(24, "relu")]
    return keras.Sequential([*layers, keras.layers.Dense(24)])


def _cnn():
    layers = [keras.Input((28, 28, 1))]
    for filters in (16, 32):
        layers += [keras.layers.Conv2D(filters, 3, activation="relu")]
        layers += [keras.layers.MaxPooling2D()]
    return keras.Sequential(
        [*layers, keras.layers.Flatten(), keras.layers.Dense(10, "softmax")]
    )


def _shortest(call, calls):
    times = []
    for _ in range(calls):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return min(times)


def _row(name, model, x, rounds, calls):
    predict = training.predictor(model)
    ways = {
        "predictor": lambda: predict(x),
        "predict": lambda: model.predict(x, verbose=0),
        "predict_on_batch": lambda: model.predict_on_batch(x),
    }
    difference = np.abs(ways["predictor"]() - ways["predict"]()).max()
    seconds = {way: [] for way in ways}
    for _ in range(rounds):
        for way, call in ways.items():
            seconds[way].append(_shortest(call, calls[way]))
    ours, plain, batch = (min(seconds[way]) for way in ways)
    return [
        name,
        f"{1e6 * ours:,.0f}",
        f"{plain / ours:.1f}",
        f"{batch / ours:.1f}",
        f"{difference:.0e}",
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    rng = np.random.default_rng(0)
    few = {"predictor": 300, "predict": 5, "predict_on_batch": 100}
    once = {"predictor": 10, "predict": 1, "predict_on_batch": 3}
    rows = []
    for name, model, shape, many in (
        ("MLP 24-24", _mlp(), (24,), 10_000),
        ("CNN 28x28", _cnn(), (28, 28, 1), 1_000),
    ):
        for count, calls in ((1, few), (many, once)):
            x = rng.normal(size=(count, *shape)).astype("float32")
            label = f"{name}, {count:,} row{'s' * (count > 1)}"
            rows.append(_row(label, model, x, rounds, calls))
    backend = keras.backend.backend()
    header = [backend, "us", "predict ratio", "predict_on_batch ratio", "difference"]
    print(text_table(header, rows, [True, False, False, False, False]))
    print(
        "Aims for one row of the MLP: {} x predict, {} x predict_on_batch".format(
            *AIMS[backend]
        )
    )


if __name__ == "__main__":
    main()
