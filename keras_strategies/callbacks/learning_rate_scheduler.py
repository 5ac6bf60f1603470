"""Any learning rate for any epoch or batch."""

import inspect

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import (
    assign_optimizer_variables,
    print_message,
)
from keras_strategies._internal.walking import base_optimizers
from keras_strategies.callbacks._position import PositionCallback
from keras_strategies.callbacks._rates import rate_logs, read_rate
from keras_strategies.callbacks._scheduler import rate_variables
from keras_strategies.callbacks._values import checked_values, value_at


class LearningRateScheduler(PositionCallback):
    """Sets the learning rate that a function, a schedule or a dict gives.

    A superset of `keras.callbacks.LearningRateScheduler`: it also takes schedule
    objects and stairs such as `{0: 0.1, 30: 0.01}`, works by batches, reaches through
    `LossScaleOptimizer`, `GradientTransform` and `MultiOptimizer` in any nesting, and
    lets an error inside the function through. Nothing is traced again.

    Args:
        schedule: `schedule(position, rate)` or `schedule(position)`, which returns
            the new rate, at least 0; a schedule object of Keras or of this package; or
            a dict from the first position to the rate that holds from there. `rate`
            is that of the optimizer now.
        verbose: `1` prints a line at each epoch. Defaults to `0`.
        update: What `position` counts from 0: `"epoch"`, or optimizer steps with
            `"batch"`. Defaults to `"epoch"`.

    Raises:
        TypeError: In `fit`, if an optimizer follows a schedule already.
        ValueError: If `schedule` is unsuitable or gives no number of at least 0.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import callbacks

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), loss="mse")
    halving = callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    x, y = np.ones((8, 4)), np.ones((8, 1))
    history = model.fit(x, y, epochs=3, callbacks=[halving], verbose=0)
    print(np.round(history.history["learning_rate"], 4))  # [0.05 0.025 0.0125]
    ```
    """

    def __init__(self, schedule, verbose=0, update="epoch"):
        super().__init__(update)
        self.schedule = checked_values("schedule", schedule)
        self.verbose = verbose
        self._takes_rate = _takes_rate(schedule)
        self._variables = self._rates = None
        self._given = False

    def set_state(self, state):
        super().set_state(state)
        self._given = True

    def on_train_begin(self, logs=None):
        variables = rate_variables(self.model, type(self).__name__)
        known = self._variables is not None and [id(v) for v in variables] == [
            id(v) for v in self._variables
        ]
        self._begin(known or self._given)
        self._variables, self._given = variables, False
        self._rates = [read_rate(variable) for variable in variables]

    def on_epoch_begin(self, epoch, logs=None):
        # Others may have set them since, at the end of the last epoch.
        self._rates = [read_rate(variable) for variable in self._variables]
        super().on_epoch_begin(epoch, logs)

    def _set(self, position, unless_same=False):
        rates = [self._rate(position, rate) for rate in self._rates]
        if self.update == "epoch" and self.verbose > 0:
            self._print(position, rates)
        if not (unless_same and rates == self._rates):
            assign_optimizer_variables(self._fit_model, self._variables, rates)
            self._rates = rates

    def _rate(self, position, rate):
        if self._takes_rate:
            value = self.schedule(position, rate)
        else:
            value = value_at(self.schedule, position)
        return checks.real("scheduled learning rate", value, low=0)

    def _print(self, epoch, rates):
        names = [
            optimizer.name for optimizer in base_optimizers(self._fit_model.optimizer)
        ]
        for name, rate in zip(names, rates, strict=True):
            whose = f"{name} " if len(rates) > 1 else ""
            print_message(
                f"\nEpoch {epoch + 1}: LearningRateScheduler setting {whose}"
                f"learning rate to {rate}."
            )

    def _logged(self):
        return rate_logs(self._fit_model)


def _takes_rate(schedule):
    """Whether `schedule(position, rate)` is how to call it."""
    if not callable(schedule) or isinstance(
        schedule, keras.optimizers.schedules.LearningRateSchedule
    ):
        return False
    try:
        signature = inspect.signature(schedule)
    except ValueError:  # a builtin without a signature: of the position alone
        return False
    try:
        signature.bind(0, 0.0)
    except TypeError:
        return False
    return True
