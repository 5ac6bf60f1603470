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
from keras_strategies.callbacks._common.learning_rates import (
    learning_rate_logs,
    learning_rate_variables,
    read_learning_rate,
)
from keras_strategies.callbacks._common.optimizers import OptimizerArgument
from keras_strategies.callbacks._common.rate_setter import RateSetter
from keras_strategies.callbacks._common.schedule_values import (
    Schedule,
    as_numbers,
    evaluate_schedule,
    validate_schedule,
)
from keras_strategies.callbacks.schedulers._position_callback import PositionCallback


class LearningRateScheduler(PositionCallback, RateSetter):
    """Sets the learning rate that a function, a schedule or a dict returns.

    A superset of `keras.callbacks.LearningRateScheduler`: it also takes schedule
    objects and piecewise-constant rates such as `{0: 0.1, 30: 0.01}`, can update at
    each batch, sets optimizers inside `LossScaleOptimizer`, `GradientTransform` and
    `MultiOptimizer` in any nesting, and does not hide an error raised by the function.
    Nothing is traced again. What `ReduceOnPlateau` or `NaNRecovery` of the same fit
    reduced stays reduced: the rates that come without a look at the current one are
    multiplied by it.

    Args:
        schedule: `schedule(position, rate)` or `schedule(position)`, which returns
            the new rate, a number or scalar tensor, at least 0; a schedule object of
            Keras or of this package; or a dict from the first position to the rate
            from there on. `rate` is the current rate of the optimizer.
        verbose: `1` prints a line at each epoch. Defaults to `0`.
        update: What `position` counts from 0: `"epoch"`, or batches with `"batch"`.
            Defaults to `"epoch"`.
        optimizer: The optimizer whose rate is set, the name of an attribute of the
            model that is one (`"d_optimizer"`), or a list of these. Defaults to
            `None`: that of `compile`.

    Raises:
        TypeError: In `fit`, if an optimizer follows a schedule already.
        ValueError: If `schedule` is unsuitable or returns a number less than 0; in
            `fit`, if another callback sets the same rate.

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

    _state_names = ("_epoch", "_step", "_scales")

    def __init__(
        self,
        schedule: Schedule | Callable[[int, float], float],
        verbose: int = 0,
        update: Literal["epoch", "batch"] = "epoch",
        optimizer: OptimizerArgument = None,
    ):
        super().__init__(update, optimizer)
        self.schedule: Schedule | Callable[[int, float], float] = validate_schedule(
            "schedule", schedule
        )
        self.verbose: int = verbose
        self._takes_rate = _takes_rate(schedule)
        self._rate_variables = self._rates = self._scales = None

    @property
    def rate_role(self) -> Literal["sets", "changes", "reduces"]:
        """`"changes"` if the schedule is a function of the current rate."""
        return "changes" if self._takes_rate else "sets"

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        variables = learning_rate_variables(self.model, self._acted)
        self._refuse_other_setters(variables)
        is_same = self._rate_variables is not None and [id(v) for v in variables] == [
            id(v) for v in self._rate_variables
        ]
        self._begin(is_same or self._resumed)
        self._rate_variables = variables
        if not is_same and not self._resumed:
            self._scales = None
        self._scales = self._scales or [1.0] * len(variables)
        self._rates = [read_learning_rate(variable) for variable in variables]

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._is_first_epoch:
            if epoch == 0 and not self._resumed:  # the schedule starts anew
                self._scales = [1.0] * len(self._scales)
            self._resumed = False
        # Other callbacks may have set them at the end of the last epoch.
        self._rates = [
            read_learning_rate(variable) for variable in self._rate_variables
        ]
        super().on_epoch_begin(epoch, logs)

    def _step_variables(self) -> list[keras.Variable]:
        return list(self._rate_variables)

    def _compute(self, position: int) -> list[float]:
        # A function of the rate is given what was set at the position before.
        rates = self._computed.get(position - 1, self._rates)
        pairs = zip(rates, self._scales, strict=True)
        return [self._rate(position, rate, scale) for rate, scale in pairs]

    def _set(self, position: int, unless_same: bool = False) -> None:
        rates = self._value_at(position)
        self._forget_values(before=position)
        if self.update == "epoch" and self.verbose > 0:
            self._print(position, rates)
        if not (unless_same and rates == self._rates):
            assign_optimizer_variables(self._fit_model, self._rate_variables, rates)
            self._rates = rates

    def _rate(self, position, rate, scale):
        if self._takes_rate:  # which is reduced already
            value = as_numbers(self.schedule(position, rate))
            return checks.real("scheduled learning rate", value, low=0)
        value = evaluate_schedule(self.schedule, position)
        value = checks.real("scheduled learning rate", value, low=0)
        return value if scale == 1.0 else value * scale

    def _rate_changed(self, index: int, factor: float) -> None:
        self._rates = list(self._rates)
        self._rates[index] *= factor
        self._forget_values()

    def _print(self, epoch, rates):
        optimizers = self._acted.updating(self._fit_model)
        for optimizer, rate in zip(optimizers, rates, strict=True):
            prefix = f"{optimizer.name} " if len(rates) > 1 else ""
            print_message(
                f"\nEpoch {epoch + 1}: LearningRateScheduler setting {prefix}"
                f"learning rate to {rate}."
            )

    def _logged(self) -> dict[str, Any]:
        return learning_rate_logs(self._fit_model, self._acted)


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
