"""Reduction of the learning rate on a plateau, for every kind of optimizer."""

from typing import Any, Literal

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import (
    print_message,
    raw_learning_rate,
)
from keras_strategies.callbacks._common.learning_rates import (
    compiled_rates,
    learning_rate_logs,
    rates_before_training,
    scalable_learning_rates,
)
from keras_strategies.callbacks._common.metric_monitor import MetricMonitor
from keras_strategies.callbacks._common.optimizers import ActedOn, OptimizerArgument
from keras_strategies.callbacks._common.rate_setter import RateSetter, reduce_rate
from keras_strategies.callbacks._common.resumable_callback import ResumableCallback


class ReduceOnPlateau(ResumableCallback, RateSetter):
    """Reduces the learning rate when a metric has stopped improving.

    Has the arguments of `keras.callbacks.ReduceLROnPlateau` in the same order and
    does the same with them. It works where Keras's does not: on optimizers nested in
    each other (`LossScaleOptimizer`, `MultiOptimizer`, the wrappers of this package)
    and on an optimizer that follows a schedule, if that is a
    `keras_strategies.schedules.ScaledSchedule`, whose scale is then reduced. It can
    warm up, and a resumed training continues with its counters.

    ```
    after patience epochs without improvement: rate <- max(rate * factor, min_lr)
    before start_from_epoch, in epoch i:       rate = base * (i + 1) / (start + 1)
    ```

    A scheduler callback of the same fit keeps what is reduced: its rates are multiplied
    by it. The rate of the epoch is logged as `learning_rate` (with several optimizers
    as `learning_rate_<optimizer name>`). Nothing is compiled again.

    Args:
        monitor: Metric to watch. Defaults to `"val_loss"`.
        factor: Factor of each reduction, in (0, 1). Defaults to `0.1`.
        patience: Epochs without improvement before a reduction, at least 0. Defaults
            to `10`.
        verbose: `1` prints a line for each reduction. Defaults to `0`.
        mode: `"min"`, `"max"` or `"auto"`, the direction of the metric. Defaults to
            `"auto"`.
        min_delta: Least change that counts as an improvement. Defaults to `1e-4`.
        cooldown: Epochs after a reduction that are not counted, at least 0.
            Defaults to `0`.
        min_lr: Lowest rate to reduce to, at least 0. Defaults to `0`.
        start_from_epoch: First epoch, from 0, that is monitored. In the epochs before
            it the rate rises linearly from near 0 to its initial value. Defaults to
            `0`: no warm-up.
        optimizer: The optimizer to act on, the name of an attribute of the model that
            is one (`"d_optimizer"`), or a list of these. Defaults to `None`: that of
            `compile`.

    Raises:
        TypeError: In `fit`, if the optimizer follows a schedule that cannot be
            scaled.
        ValueError: If an argument is out of its range; in `fit`, if the metric is
            unknown or has no known direction, or if another callback sets the rate
            during the warm-up.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import callbacks, schedules

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    cosine = keras.optimizers.schedules.CosineDecay(0.1, decay_steps=1000)
    model.compile(keras.optimizers.SGD(schedules.ScaledSchedule(cosine)), loss="mse")
    plateau = callbacks.ReduceOnPlateau("loss", factor=0.5, patience=2)
    x, y = np.zeros((8, 4)), np.zeros((8, 1))  # nothing to learn
    history = model.fit(x, y, epochs=6, callbacks=[plateau], verbose=0)
    print(np.round(history.history["learning_rate"], 3))
    # [0.1   0.1   0.1   0.05  0.05  0.025]
    ```
    """

    _state_names = ("best", "wait", "cooldown_counter", "_base_values")

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: Literal["auto", "min", "max"] = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
        start_from_epoch: int = 0,
        optimizer: OptimizerArgument = None,
    ):
        super().__init__()
        self._acted = ActedOn(self, optimizer)
        self.optimizer: OptimizerArgument = optimizer
        self._monitor = MetricMonitor(monitor, mode, min_delta)
        self.monitor: str = monitor
        self.mode: str = mode
        self.factor: float = checks.real(
            "factor", factor, low=0, high=1, low_open=True, high_open=True
        )
        self.patience: int = checks.integer("patience", patience, low=0)
        self.verbose: int = verbose
        self.min_delta: float = self._monitor.min_delta
        self.cooldown: int = checks.integer("cooldown", cooldown, low=0)
        self.min_lr: float = checks.real("min_lr", min_lr, low=0)
        self.start_from_epoch: int = checks.integer(
            "start_from_epoch", start_from_epoch, low=0
        )
        self.best: float | None
        self.wait: int
        self.cooldown_counter: int
        self._rates = None
        self._noted = []
        self._reset()

    def _reset(self) -> None:
        self.best = self._base_values = None
        self.wait = self.cooldown_counter = 0
        self._monitor.reset()

    @property
    def rate_role(self) -> Literal["sets", "changes", "reduces"]:
        """`"sets"` with a warm-up."""
        return "sets" if self.start_from_epoch > 0 else "reduces"

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        self._noted = compiled_rates(model, self._acted)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        super().on_train_begin(logs)
        self._acted.begin(self.model)
        self._rates = scalable_learning_rates(self.model, self._acted)
        self._rate_variables = [raw_learning_rate(r.optimizer) for r in self._rates]
        self._refuse_other_setters(self._rate_variables)
        if self._base_values is None:
            self._base_values = rates_before_training(
                self._noted, self._rate_variables, [rate.value for rate in self._rates]
            )
        elif len(self._base_values) != len(self._rates):
            checks.fail(
                "The state given to ReduceOnPlateau must come from a model with as "
                "many optimizers",
                fix="Use a new object for another model.",
                in_state=len(self._base_values),
                in_model=len(self._rates),
            )
        self._scales = [1.0] * len(self._rates)

    def _rate_changed(self, index: int, factor: float) -> None:
        self._base_values[index] *= factor

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._acted.begin_epoch(self.model)
        if self.start_from_epoch and epoch <= self.start_from_epoch:
            fraction = (epoch + 1) / (self.start_from_epoch + 1)
            for rate, base in zip(self._rates, self._base_values, strict=True):
                rate.set(base * fraction)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logs = logs if logs is not None else {}
        current = self._monitor.read(logs, self)
        self._acted.end_epoch(self.model)
        logs.update(learning_rate_logs(self.model, self._acted))
        if current is None or epoch < self.start_from_epoch:
            return
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self._monitor.improves(current, self.best):
            self.best = current
            self.wait = 0
        elif not self.in_cooldown():
            self.wait += 1
            if self.wait >= self.patience and self._reduce(epoch):
                self.cooldown_counter = self.cooldown
                self.wait = 0

    def in_cooldown(self) -> bool:
        """Whether epochs are not counted because of a recent reduction."""
        return self.cooldown_counter > 0

    def _reduce(self, epoch):
        """Reduces every rate that is not at its lowest; says whether one was."""
        reduced = False
        for rate in self._rates:
            # In float32 as the variable, which may be slightly below the float64 value.
            if rate.learning_rate <= np.float32(self.min_lr):
                continue
            new_rate = reduce_rate(self, rate, self.factor, self.min_lr)
            reduced = True
            if self.verbose > 0:
                name = f" {rate.optimizer.name}" if len(self._rates) > 1 else ""
                print_message(
                    f"\nEpoch {epoch + 1}: ReduceLROnPlateau reducing{name} learning "
                    f"rate to {new_rate}."
                )
        return reduced
