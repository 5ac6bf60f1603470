"""Many trainings of one architecture: `training.fit_many` beside `fit` in a loop.

    scripts/benchmark fit_many [--epochs N] [--processor]

Members differ in seed and learning rate and train for `N` epochs (10) on generated
data: 8 dense networks of 784-128-10, 16 of 64-64-10, 8 small convolutional ones, and 8
of 64-64-10 that differ in dropout rate and factor of L2 too. Beside
them, the same members by plain `fit`, a new model for each, and by `accelerate` with a
new model for each; three of them and one, counted as often as there are members.
Figures are seconds and the ratio of each to `fit_many`, in one run. With `--processor`
they are seconds of the processor, for a machine that has other work to do.
`KERAS_BACKEND` chooses the backend.
"""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from keras_strategies import training
from keras_strategies._internal.reports import text_table


def _dense(inputs, hidden):
    def build():
        layers = [keras.Input((inputs,)), keras.layers.Dense(hidden, "relu")]
        return _compiled([*layers, keras.layers.Dense(10, "softmax")])

    return build


def _convolutional():
    layers = [keras.Input((12, 12, 1))]
    for filters in (8, 16):
        layers += [keras.layers.Conv2D(filters, 3, activation="relu")]
    layers += [keras.layers.GlobalAveragePooling2D()]
    return _compiled([*layers, keras.layers.Dense(10, "softmax")])


def _penalized():
    penalty = keras.regularizers.L2(1e-3)
    layers = [keras.Input((64,)), keras.layers.Dropout(0.5)]
    layers += [keras.layers.Dense(64, "relu", kernel_regularizer=penalty)]
    return _compiled([*layers, keras.layers.Dense(10, "softmax")])


def _compiled(layers):
    model = keras.Sequential(layers)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


ROWS = {
    "8 x 784-128-10": (_dense(784, 128), 8, (784,)),
    "16 x 64-64-10": (_dense(64, 64), 16, (64,)),
    "8 x small CNN": (_convolutional, 8, (12, 12, 1)),
    "8 x other dropout, L2": (_penalized, 8, (64,)),
}

WARM = np.zeros((32, 64), "float32"), np.zeros(32, "int32")


def _loop(build, variants, data, epochs, accelerated):
    for variant in variants:
        keras.utils.set_random_seed(variant["seed"])
        model = build()
        model.optimizer.learning_rate = variant["learning_rate"]
        if "dropout" in variant:
            dropout, dense, _ = model.layers
            dropout.rate = variant["dropout"]
            dense.kernel_regularizer.l2 = variant["l2"]
        if accelerated:
            training.accelerate(model, *data)
        model.fit(*data, epochs=epochs, verbose=0)


def _seconds(call, clock):
    begin = clock()
    result = call()
    return clock() - begin, result


def _row(name, epochs, clock):
    build, count, shape = ROWS[name]
    random = np.random.default_rng(0)
    x = random.normal(size=(2000, *shape)).astype("float32")
    data = (x, random.integers(0, 10, 2000))
    variants = [{"seed": n, "learning_rate": 1e-3 * (1 + n % 3)} for n in range(count)]
    if build is _penalized:
        for n, variant in enumerate(variants):
            variant |= {"dropout": 0.1 + 0.05 * n, "l2": 1e-4 * (1 + n)}
    build()  # Initializers of these shapes are compiled once in a process, by JAX.
    ours, result = _seconds(
        lambda: training.fit_many(build, variants, data, epochs=epochs), clock
    )
    ratios = []
    for few, accelerated in ((variants[:3], False), (variants[:1], True)):
        seconds, _ = _seconds(
            lambda few=few, accelerated=accelerated: _loop(
                build, few, data, epochs, accelerated
            ),
            clock,
        )
        ratios.append(f"{seconds * count / len(few) / ours:.2f}")
    return [name, result.engine, f"{ours:.1f}", *ratios]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--processor", action="store_true")
    arguments = parser.parse_args()
    epochs = arguments.epochs
    clock = time.process_time if arguments.processor else time.perf_counter
    # What the first model of a process imports and sets up belongs to no row.
    _loop(ROWS["16 x 64-64-10"][0], [{"seed": 0, "learning_rate": 0.1}], WARM, 1, False)
    headings = ["members", "engine", "s", "fit ratio", "accelerate ratio"]
    print(f"Backend {keras.backend.backend()}, {epochs} epochs of 2,000 rows")
    rows = [_row(name, epochs, clock) for name in ROWS]
    print(text_table(headings, rows, [True, True, False, False, False]))


if __name__ == "__main__":
    main()
