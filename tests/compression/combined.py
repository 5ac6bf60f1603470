"""Models that were pruned and clustered, and what is left of it."""

import keras
import numpy as np
from sklearn.datasets import load_digits

from keras_strategies import compression
from tests.compression.common import values

layers = keras.layers


def digits():
    x, y = load_digits(return_X_y=True)
    x = (x.reshape(-1, 8, 8, 1) / 16).astype("float32")
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order], y[order].astype("int32")
    return (x[:1400], y[:1400]), (x[1400:], y[1400:])


def cnn():
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(8, 3, use_bias=False, name="conv"),
            layers.BatchNormalization(momentum=0.9),
            layers.ReLU(),
            layers.Conv2D(8, 3, activation="relu", name="conv_2"),
            layers.Flatten(),
            layers.Dense(16, activation="relu", name="hidden"),
            layers.Dense(10, name="logits"),
        ]
    )


def compiled(model, rate=1e-3, optimizer=keras.optimizers.Adam, **arguments):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    given = optimizer(rate) if isinstance(optimizer, type) else optimizer
    model.compile(given, loss, metrics=["accuracy"], **arguments)
    return model


def pruned(model, sparsity=0.5):
    """Zeros as `prune` leaves them, without training."""
    for row in compression.sparsity_report(model).rows:
        weight = next(w for w in model.weights if w.path == row["weight"])
        kernel = values(weight)
        limit = np.quantile(np.abs(kernel), sparsity)
        weight.assign(np.where(np.abs(kernel) < limit, 0, kernel))
    return model


def clustered(model, n=8, **arguments):
    """Few values as `cluster` leaves them, without training."""
    model.compile("sgd", "mse")
    return compression.strip(compression.cluster(model, n, **arguments))


def both(model, n=8):
    return clustered(pruned(model), n, preserve_sparsity=True)


def kernels(model):
    """`{path: values}` of the weights that pruning and clustering know."""
    paths = {row["weight"] for row in compression.sparsity_report(model).rows}
    return {w.path: values(w) for w in model.weights if w.path in paths}


def counts(model):
    return {path: np.unique(kernel).size for path, kernel in kernels(model).items()}


class Witness(keras.callbacks.Callback):
    """Keeps the kernels after every execution."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(kernels(self.model))
