"""Callbacks of one model in the fit of another that trains a part of it."""

import keras

from keras_strategies._internal import bases

_HOOKS = (
    "on_epoch_begin",
    "on_epoch_end",
    "on_train_batch_begin",
    "on_train_batch_end",
    "on_test_begin",
    "on_test_end",
    "on_test_batch_begin",
    "on_test_batch_end",
    "on_train_begin",
    "on_train_end",
)


class ForwardingCallback(bases.Callback):
    """Lets callbacks see the whole model while only its head is in `fit`.

    The head shares layers and optimizer with the whole: what a callback reads, saves
    or sets there is the same. `stop_training` is handed over.
    """

    def __init__(self, callbacks: list[keras.callbacks.Callback], whole: keras.Model):
        super().__init__()
        self.callbacks, self.whole = callbacks, whole

    def set_params(self, params):
        super().set_params(params)
        for callback in self.callbacks:
            callback.set_params(params)

    def set_model(self, model):
        super().set_model(model)
        self.whole.stop_training = False
        for callback in self.callbacks:
            callback.set_model(self.whole)


def _forwarding(name):
    def hook(self, *arguments, **keywords):
        head = self.model  # JAX: writes the values of the fit into the variables
        for callback in self.callbacks:
            getattr(callback, name)(*arguments, **keywords)
        if self.whole.stop_training:
            head.stop_training = True

    # Keras asks for `logs` by name.
    if name.startswith("on_epoch"):

        def forward(self, epoch, logs=None):
            hook(self, epoch, logs=logs)

    elif "batch" in name:

        def forward(self, batch, logs=None):
            hook(self, batch, logs=logs)

    else:

        def forward(self, logs=None):
            hook(self, logs=logs)

    return forward


for _name in _HOOKS:
    setattr(ForwardingCallback, _name, _forwarding(_name))
