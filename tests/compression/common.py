"""Small models, data and a witness of every step."""

import keras
import numpy as np

from keras_strategies import compression
from keras_strategies.compression.pruning import _masks


def backend():
    return keras.backend.backend()


def mlp(optimizer=None, **compile_arguments):
    model = keras.Sequential(
        [
            keras.Input((12,)),
            keras.layers.Dense(24, activation="relu"),
            keras.layers.Dense(4),
        ]
    )
    if optimizer is not None:
        model.compile(optimizer, loss="mse", **compile_arguments)
    return model


def data(n=64, features=12, outputs=4):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, features)).astype("float32")
    return x, np.square(x[:, :outputs])


def fit(model, steps, *, batch_size=8, callbacks=(), **arguments):
    """Trains exactly `steps` batches."""
    x, y = data(steps * batch_size)
    return model.fit(
        x,
        y,
        batch_size=batch_size,
        shuffle=False,
        verbose=0,
        callbacks=list(callbacks),
        **arguments,
    )


class Witness(keras.callbacks.Callback):
    """Keeps the zeros of every prunable weight after every execution."""

    def __init__(self):
        super().__init__()
        self.zeros, self.sparsity = [], []

    def on_train_batch_end(self, batch, logs=None):
        rows = compression.sparsity_report(self.model).rows
        self.sparsity.append([row["sparsity"] for row in rows])
        self.zeros.append([kernel == 0 for kernel in kernels(self.model)])


def kernels(model):
    """The values of the kernels of Dense layers and of anything alike."""
    found = [layer.kernel for layer in model.layers if hasattr(layer, "kernel")]
    return [values(kernel) for kernel in found]


def values(variable):
    """A variable as a NumPy array."""
    return keras.ops.convert_to_numpy(keras.ops.copy(variable))


def effective_kernel(layer, shape):
    """The kernel a linear layer computes with: its outputs for each unit input."""
    size = int(np.prod(shape))
    units = np.eye(size, dtype="float32").reshape(size, *shape)
    offset = values(layer(np.zeros((1, *shape), "float32")))
    return values(layer(units)) - offset


def magnitude_mask(weights, sparsity):
    """The mask of single weights, which `prune` makes of their magnitudes."""
    scores = _masks.magnitudes_of(weights)
    threshold = _masks.threshold_for([scores], sparsity)
    return _masks.at_least_threshold(scores, threshold)


def expected_sparsity(size, target):
    """The share of zeros that the rule gives without ties, in NumPy."""
    kept = max(np.round(np.float32(size) * (np.float32(1) - np.float32(target))), 1)
    return 1 - kept / size
