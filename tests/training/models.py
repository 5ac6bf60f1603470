"""Small models and data for training in blocks, and plain fits to compare with."""

import keras
import numpy as np
import pytest

from keras_strategies import training

BACKEND = keras.backend.backend()
ROWS, BATCH = 74, 8  # nine full batches and one of two rows
EVEN = 72  # no partial batch, which is one more program to compile


def data(rows=ROWS):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(rows, 6)).astype("float32")
    return x, rng.integers(0, 3, size=rows)


class Batches(keras.utils.PyDataset):
    """The rows of `data` in batches, without an end if `endless`."""

    def __init__(self, rows=ROWS, endless=False, bad=False):
        super().__init__()
        self.x, self.y = data(rows)
        self.endless, self.epochs = endless, 0
        if bad:
            self.x[0, 0] = np.nan

    @property
    def num_batches(self):
        return None if self.endless else -(-len(self.x) // BATCH)

    def __getitem__(self, index):
        begin = index * BATCH % len(self.x)
        rows = slice(begin, begin + BATCH)
        return self.x[rows], self.y[rows]

    def on_epoch_end(self):
        self.epochs += 1


def small():
    """What is compiled quickly: a dense layer behind dropout, SGD with momentum."""
    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dropout(0.3, seed=1), keras.layers.Dense(3)]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(momentum=0.9), loss)
    return model


def regularized():
    """Batch normalization, dropout, weight penalties and metrics."""
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(8, activation="relu", kernel_regularizer="l2"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.3, seed=1),
            keras.layers.Dense(3),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"], weighted_metrics=["accuracy"])
    return model


def branched():
    """Two inputs and two outputs with weighted losses."""
    left, right = keras.Input((4,), name="left"), keras.Input((2,), name="right")
    joined = keras.layers.Concatenate()([left, right])
    joined = keras.layers.Dense(8, activation="tanh")(joined)
    outputs = {
        "kind": keras.layers.Dense(3, activation="softmax", name="kind")(joined),
        "size": keras.layers.Dense(1, name="size")(joined),
    }
    model = keras.Model({"left": left, "right": right}, outputs)
    model.compile(
        "adam",
        {"kind": "sparse_categorical_crossentropy", "size": "mse"},
        loss_weights={"kind": 1.0, "size": 0.5},
        metrics={"kind": ["accuracy"], "size": ["mae"]},
    )
    return model


def _regularized_arguments():
    x, y = data()
    weights = np.linspace(0.5, 1.5, ROWS).astype("float32")
    return {
        "x": x,
        "y": y,
        "sample_weight": weights,
        "validation_data": (x[:16], y[:16], weights[:16]),
    }


def _class_weight_arguments():
    x, y = data()
    weights = {0: 1.0, 1: 2.0, 2: 0.5}
    return {"x": x, "y": y, "class_weight": weights, "validation_split": 0.25}


def _branched_arguments():
    x, y = data()
    inputs = {"left": x[:, :4], "right": x[:, 4:]}
    targets = {"kind": y, "size": x[:, :1]}
    return {"x": inputs, "y": targets, "validation_data": (inputs, targets)}


SETTINGS = {
    "sample weights": (regularized, _regularized_arguments),
    "class weights": (regularized, _class_weight_arguments),
    "branches": (branched, _branched_arguments),
}


def fit(make, arguments, candidate=None, **options):
    """`(model, history)` after three epochs, with a forced plan or plain."""
    keras.utils.set_random_seed(7)
    model = make()
    if candidate is not None:
        plan_for(model, arguments, candidate, **options)
    history = model.fit(
        **arguments, batch_size=BATCH, epochs=3, shuffle=False, verbose=0
    )
    return model, history.history


def plan_for(model, arguments, candidate, **options):
    return training.accelerate(
        model,
        arguments["x"],
        arguments["y"],
        batch_size=BATCH,
        candidates=[candidate],
        **options,
    )


def candidates():
    """Names of the candidates with blocks that this backend has."""
    names = ["graph-block", "graph-epoch", "xla-epoch"]
    if BACKEND == "torch":
        return []
    return names if BACKEND == "tensorflow" else ["xla-block", "xla-epoch"]


def dear(backend, *values):
    """The values of a parameter, slow on a backend that compiles long for them."""
    marks = [pytest.mark.slow] if backend in (BACKEND, "all") else []
    return pytest.param(*values, marks=marks)
