"""A model that writes down the learning rate of every step in its weights."""

import keras
import numpy as np


class RateProbe(keras.callbacks.Callback):
    """Reads the rates that plain SGD used, batch by batch.

    Batch `i` of an epoch is the unit vector `i` and the loss is the output, so
    that its step lowers weight `i` by exactly the learning rate.
    """

    def __init__(self, steps=4, optimizer=None, **compile_arguments):
        super().__init__()
        self.steps = steps
        layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
        self.probed = keras.Sequential([keras.Input((steps,)), layer])
        self.probed.compile(
            optimizer or keras.optimizers.SGD(0.1),
            loss=lambda y, prediction: prediction,
            **compile_arguments,
        )
        self.rates = []

    def weights(self):
        return keras.ops.convert_to_numpy(self.probed.layers[-1].kernel)[:, 0]

    def on_epoch_begin(self, epoch, logs=None):
        self.before = self.weights()

    def on_epoch_end(self, epoch, logs=None):
        self.model  # noqa: B018  JAX: puts the weights back into the variables
        self.rates.append(self.before - self.weights())

    def fit(self, *callbacks, epochs=1, generator=False, **arguments):
        """Trains and returns the rates of this fit, one row for each epoch."""
        self.rates = []
        x, y = np.eye(self.steps, dtype="float32"), np.zeros((self.steps, 1))
        data = {"x": x, "y": y, "batch_size": 1, "shuffle": False}
        if generator:
            data = {"x": _stream(x, y, epochs), "shuffle": False}
        self.history = self.probed.fit(
            **data,
            epochs=epochs,
            callbacks=[*callbacks, self],
            verbose=0,
            **arguments,
        ).history
        return np.array(self.rates)


def _stream(x, y, epochs):
    """Batches of one sample without a length."""
    for _ in range(epochs):
        for i in range(len(x)):
            yield x[i : i + 1], y[i : i + 1]
