"""Learning rates from a function, a schedule object or a dict."""

import inspect
from collections.abc import Callable
from typing import Any, Literal

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import (
    assign_optimizer_variables,
    print_message,
)
from keras_strategies._internal.traversal import base_optimizers
from keras_strategies.callbacks._common.learning_rates import (
    learning_rate_logs,
    learning_rate_variables,
    read_learning_rate,
)
from keras_strategies.callbacks._common.schedule_values import (
    Schedule,
    evaluate_schedule,
    validate_schedule,
)
from keras_strategies.callbacks.schedulers._position_callback import PositionCallback


class LearningRateScheduler(PositionCallback):
    """Sets the learning rate that a function, a schedule or a dict returns.

    A superset of `keras.callbacks.LearningRateScheduler`: it also takes schedule
    objects and piecewise-constant rates such as `{0: 0.1, 30: 0.01}`, can update at
    each batch, sets optimizers inside `LossScaleOptimizer`, `GradientTransform` and
    `MultiOptimizer` in any nesting, and does not hide an error raised by the function.
    Nothing is traced again.

    Args:
        schedule: `schedule(position, rate)` or `schedule(position)`, which returns
            the new rate, at least 0; a schedule object of Keras or of this package; or
            a dict from the first position to the rate from there on. `rate` is the
            current rate of the optimizer.
        verbose: `1` prints a line at each epoch. Defaults to `0`.
        update: What `position` counts from 0: `"epoch"`, or optimizer steps with
            `"batch"`. Defaults to `"epoch"`.

    Raises:
        TypeError: In `fit`, if an optimizer follows a schedule already.
        ValueError: If `schedule` is unsuitable or returns a number less than 0.

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

    def __init__(
        self,
        schedule: Schedule | Callable[[int, float], float],
        verbose: int = 0,
        update: Literal["epoch", "batch"] = "epoch",
    ):
        super().__init__(update)
        self.schedule: Schedule | Callable[[int, float], float] = validate_schedule(
            "schedule", schedule
        )
        self.verbose: int = verbose
        self._takes_rate = _takes_rate(schedule)
        self._variables = self._rates = None
        self._resumed = False

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        self._resumed = True

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        variables = learning_rate_variables(self.model, type(self).__name__)
        is_same = self._variables is not None and [id(v) for v in variables] == [
            id(v) for v in self._variables
        ]
        self._begin(is_same or self._resumed)
        self._variables, self._resumed = variables, False
        self._rates = [read_learning_rate(variable) for variable in variables]

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        # Other callbacks may have set them at the end of the last epoch.
        self._rates = [read_learning_rate(variable) for variable in self._variables]
        super().on_epoch_begin(epoch, logs)

    def _set(self, position: int, unless_same: bool = False) -> None:
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
            value = evaluate_schedule(self.schedule, position)
        return checks.real("scheduled learning rate", value, low=0)

    def _print(self, epoch, rates):
        names = [
            optimizer.name for optimizer in base_optimizers(self._fit_model.optimizer)
        ]
        for name, rate in zip(names, rates, strict=True):
            prefix = f"{name} " if len(rates) > 1 else ""
            print_message(
                f"\nEpoch {epoch + 1}: LearningRateScheduler setting {prefix}"
                f"learning rate to {rate}."
            )

    def _logged(self) -> dict[str, Any]:
        return learning_rate_logs(self._fit_model)


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
