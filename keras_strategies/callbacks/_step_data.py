"""Callbacks that change the batches inside the training step."""

import keras

from keras_strategies._internal.keras_private.callbacks import (
    trace_again,
    unwrap_method,
    wrap_method,
)
from keras_strategies.callbacks._base import StatefulCallback
from keras_strategies.callbacks._values import checked_values, value_at


class StepDataCallback(StatefulCallback):
    """Transforms each training batch by a value that is fixed for an epoch.

    This happens at the begin of the model's `train_step`, on the device, so that it
    works with arrays, `tf.data`, `PyDataset` and generators alike and leaves
    evaluation and prediction alone. A new value changes shapes, so that the step is
    traced anew.

    Subclasses give `_log_name`, `_checked(value)` and
    `_transformed(x, y, sample_weight, value)`.
    """

    _log_name = ""

    def __init__(self, schedule):
        super().__init__()
        self.schedule = checked_values("schedule", schedule)
        self._value = None
        self._wrapped = None  # the model, during a fit

        def train_step(call, *args):
            *state, data = args
            parts = keras.utils.unpack_x_y_sample_weight(data)
            parts = self._transformed(*parts, self._value)
            return call(*state, keras.utils.pack_x_y_sample_weight(*parts))

        self._train_step = train_step

    def on_train_begin(self, logs=None):
        self.restore()
        self._wrapped, self._value = self.model, None
        wrap_method(self._wrapped, "train_step", self._train_step)

    def on_epoch_begin(self, epoch, logs=None):
        value = self._checked(value_at(self.schedule, epoch))
        if value != self._value:
            self._value = value
            trace_again(self._wrapped)

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs.update(self._logged())

    def on_train_end(self, logs=None):
        self.restore()

    def restore(self):
        """Takes the change out of the model, after a fit that failed.

        Does nothing where it is out, as after a fit that ended normally.
        """
        if self._wrapped is None:
            return
        model, self._wrapped = self._wrapped, None
        unwrap_method(model, "train_step", self._train_step)
        model.make_train_function(force=True)

    def _logged(self):
        return {self._log_name: self._value}

    def _checked(self, value):
        raise NotImplementedError

    def _transformed(self, x, y, sample_weight, value):
        raise NotImplementedError
