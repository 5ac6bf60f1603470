"""Callbacks driven by hand: epochs with given logs, no training."""

import keras


class ScriptedModel:
    """As much of a model as a monitoring callback touches."""

    def __init__(self):
        self.stop_training = False
        self.weights = []
        self.metrics = []
        self.built = True
        self.epoch = None

    def get_weights(self):
        return self.epoch

    def set_weights(self, weights):
        self.epoch = weights


def run(callback, logs, model=None, first_epoch=0):
    """Gives a callback the logs epoch by epoch; returns the number of epochs run.

    `logs` is a dict of lists, or a list for `val_loss`.
    """
    logs = logs if isinstance(logs, dict) else {"val_loss": logs}
    model = model or ScriptedModel()
    callback.set_model(model)
    callback.on_train_begin()
    rows = list(zip(*logs.values(), strict=True))
    for epoch, row in enumerate(rows, start=first_epoch):
        model.epoch = epoch
        callback.on_epoch_begin(epoch)
        callback.on_epoch_end(epoch, dict(zip(logs, row, strict=True)))
        if model.stop_training:
            break
    callback.on_train_end()
    return epoch - first_epoch + 1


def line_model(rate=1.0, **arguments):
    """One weight; each step lowers it by `rate * x`."""
    model = keras.Sequential(
        [
            keras.Input((1,)),
            keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros"),
        ]
    )
    model.compile(
        arguments.pop("optimizer", None) or keras.optimizers.SGD(rate),
        loss=lambda y, prediction: prediction,
        **arguments,
    )
    return model


def weight(model):
    return float(model.get_weights()[0].reshape(-1)[0])
