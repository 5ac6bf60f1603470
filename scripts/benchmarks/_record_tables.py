"""Records the tables of `scripts/benchmark tuning`: trainings of small Keras models.

    python scripts/benchmarks/_record_tables.py [TABLE ...] [--trials N]

Each table is a random search of N real trainings (validation loss of the best epoch),
written to `scripts/benchmarks/data/TABLE.csv`. The functions of the benchmark
interpolate them. The data are generated or scikit-learn's: nothing is fetched.
"""

import argparse
import csv
import os
import pathlib
import sys
import tempfile

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from sklearn import datasets

from keras_strategies import tuning

FOLDER = pathlib.Path(__file__).parent / "data"
EPOCHS, SEED = 8, 29


def split(x, y, count, scale=True):
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order].astype("float32"), y[order]
    if scale:
        x = (x - x[:count].mean(0)) / (x[:count].std(0) + 1e-6)
    return (x[:count], y[:count]), (x[count:], y[count:])


def digits():
    return split(*datasets.load_digits(return_X_y=True), 500, scale=False)


def tumours():
    return split(*datasets.load_breast_cancer(return_X_y=True), 200)


def diabetes():
    x, y = datasets.load_diabetes(return_X_y=True)
    return split(x, ((y - y.mean()) / y.std()).astype("float32"), 250)


def friedman():
    x, y = datasets.make_friedman1(600, n_features=8, noise=1.0, random_state=1)
    return split(x, ((y - y.mean()) / y.std()).astype("float32"), 300)


def reviews():
    """Sequences of 24 words of 200: half of the words speak for or against."""
    rng = np.random.default_rng(7)
    words = rng.integers(1, 200, (800, 24))
    weights = np.where(rng.random(200) < 0.5, rng.normal(size=200), 0.0)
    score = weights[words].sum(axis=1) + rng.normal(scale=0.3, size=800)
    return split(words, (score > 0).astype("int64"), 500, scale=False)


def compiled(hp, layers, loss):
    model = keras.Sequential(layers)
    rate = hp.Float("learning_rate", 1e-4, 1.0, sampling="log")
    if hp.Choice("optimizer", ["sgd", "adam"]) == "sgd":
        momentum = hp.Float(
            "momentum", 0.01, 0.99, parent_name="optimizer", parent_values=["sgd"]
        )
        optimizer = keras.optimizers.SGD(rate, momentum=momentum, clipnorm=5.0)
    else:
        optimizer = keras.optimizers.Adam(rate)
    model.compile(optimizer, loss)
    return model


def hidden(hp):
    factor = hp.Float("l2", 1e-7, 1e-1, sampling="log")
    units = hp.Choice("units", [8, 32, 128])
    layers = [
        keras.layers.Dense(
            units, "relu", kernel_regularizer=keras.regularizers.L2(factor)
        ),
        keras.layers.Dropout(hp.Float("dropout", 0.01, 0.7)),
    ]
    hp.Int("batch_size", 8, 128, sampling="log")
    return layers


def classifier(classes, width):
    def build(hp):
        head = keras.layers.Dense(classes, "softmax")
        layers = [keras.Input((width,)), *hidden(hp), head]
        return compiled(hp, layers, "sparse_categorical_crossentropy")

    return build


def regressor(width):
    def build(hp):
        layers = [keras.Input((width,)), *hidden(hp), keras.layers.Dense(1)]
        return compiled(hp, layers, "mse")

    return build


def reader(hp):
    layers = [
        keras.Input((24,), dtype="int32"),
        keras.layers.Embedding(200, hp.Choice("embedding", [4, 16])),
        keras.layers.GlobalAveragePooling1D(),
        *hidden(hp),
        keras.layers.Dense(1, "sigmoid"),
    ]
    return compiled(hp, layers, "binary_crossentropy")


TABLES = {
    "digits": (digits, classifier(10, 64)),
    "tumours": (tumours, classifier(2, 30)),
    "diabetes": (diabetes, regressor(10)),
    "friedman": (friedman, regressor(8)),
    "reviews": (reviews, reader),
}


def record(name, trials):
    load, build = TABLES[name]
    (x, y), held = load()
    with tempfile.TemporaryDirectory() as folder:
        tuner = tuning.Tuner(
            build,
            "val_loss",
            max_trials=trials,
            algorithm="random",
            directory=folder,
            seed=SEED,
        )
        tuner.search(x, y, validation_data=held, epochs=EPOCHS, verbose=0)
        found = [t for t in tuner.oracle.trials.values() if t.score is not None]
        names = [hp.name for hp in tuner.oracle.hyperparameters.space]
    with open(FOLDER / f"{name}.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*names, "val_loss"])
        for trial in found:
            values = trial.hyperparameters.values
            row = [values.get(n, "") for n in names]
            row = [f"{v:.6g}" if isinstance(v, float) else v for v in row]
            writer.writerow([*row, f"{trial.score:.6g}"])
    print(name, len(found), "trainings", tuner.plain_reason or "", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="*", default=list(TABLES))
    parser.add_argument("--trials", type=int, default=400)
    arguments = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    for name in arguments.tables or TABLES:
        record(name, arguments.trials)


if __name__ == "__main__":
    sys.exit(main())
