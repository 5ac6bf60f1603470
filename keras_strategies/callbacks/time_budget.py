"""Stopping when the time is used up."""

import time

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import print_message
from keras_strategies.callbacks._resumable import ResumableCallback


class TimeBudget(ResumableCallback):
    """Stops training before it takes longer than it may.

    For a rented machine, a job queue or a fair comparison of two methods. It stops
    ahead of the epoch (or the step) that would exceed the budget, as far as the ones
    before it tell.

    ```
    update "epoch": stop when spent + mean epoch > seconds
    update "batch": stop when spent + mean step * (steps under way + 1)
                              + last validation > seconds
    ```

    The first epoch and the first step, which compile, are left out of the means once
    there are others. The budget counts the time inside `fit`. A state given with
    `set_state` brings the seconds that were spent before: a resumed training does
    not get the budget twice. A later fit with the same object does.

    After a stop within an epoch Keras still validates and ends the epoch. At least
    one epoch (or step) is trained.

    Args:
        seconds: The budget in seconds, greater than 0.
        update: `"epoch"` stops only between epochs, `"batch"` also within one.
            Defaults to `"epoch"`.
        verbose: `1` prints a line when training is stopped. Defaults to `0`.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import callbacks

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", loss="mse")
    budget = callbacks.TimeBudget(seconds=1.0)
    x, y = np.ones((8, 4)), np.ones((8, 1))
    history = model.fit(x, y, epochs=100_000, callbacks=[budget], verbose=0)
    print(len(history.epoch) < 100_000, budget.stopped)  # True True
    ```
    """

    # With `async_safe` JAX need not wait for each batch: the end of a batch is then
    # reported by another thread, when the device is done with it.
    async_safe = True
    _state_names = ("_spent", "stopped")

    def __init__(self, seconds, update="epoch", verbose=0):
        super().__init__()
        self.seconds = checks.real("seconds", seconds, low=0, low_open=True)
        self.update = checks.choice("update", update, ("epoch", "batch"))
        self.verbose = verbose
        self._model_in_fit = None
        self._reset()

    def _reset(self):
        self._spent = 0.0  # seconds of the fits before this one
        self.stopped = False

    @property
    def spent(self):
        """Seconds used up, now or when the last fit ended."""
        if self._model_in_fit is None:
            return self._spent
        return self._spent + _now() - self._begin

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self._begin = _now()
        self.stopped = False
        self._model_in_fit = self.model
        self._epochs, self._steps = _Mean(), _Mean()
        self._begun = self._done = 0
        self._validation = 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch_begin = self._last_end = _now()
        self._begun = self._done = 0

    def on_train_batch_begin(self, batch, logs=None):
        self._begun += 1

    def on_train_batch_end(self, batch, logs=None):
        self._done += 1
        now = _now()
        self._steps.add(now - self._last_end)
        self._last_end = now
        if self.update == "batch":
            under_way = max(self._begun - self._done, 0)
            needed = self._steps.value * (under_way + 1) + self._validation
            self._stop_unless(needed)

    def on_test_begin(self, logs=None):
        self._test_begin = _now()

    def on_test_end(self, logs=None):
        self._validation = _now() - self._test_begin

    def on_epoch_end(self, epoch, logs=None):
        self._epochs.add(_now() - self._epoch_begin)
        whole = self.update == "epoch"
        self._stop_unless(
            self._epochs.value if whole else self._steps.value + self._validation
        )
        if self.stopped and self.verbose > 0:
            print_message(
                f"Epoch {epoch + 1}: the time budget of {self.seconds:g} s is spent."
            )

    def on_train_end(self, logs=None):
        self._spent = self.spent
        self._model_in_fit = None

    def get_state(self):
        state = super().get_state()
        state["spent"] = self.spent
        return state

    def _stop_unless(self, needed):
        """Stops the fit unless `needed` seconds are left."""
        if self.spent + needed > self.seconds:
            self.stopped = True
            self._model_in_fit.stop_training = True


class _Mean:
    """The mean of durations, without the first one as soon as there is another."""

    def __init__(self):
        self._first, self._sum, self._count = 0.0, 0.0, -1

    def add(self, seconds):
        self._count += 1
        if self._count == 0:
            self._first = seconds
        else:
            self._sum += seconds

    @property
    def value(self):
        return self._sum / self._count if self._count > 0 else self._first


def _now():
    return time.monotonic()
