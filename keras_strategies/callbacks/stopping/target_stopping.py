"""Stopping at a target value of a metric."""

from typing import Any, Literal

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import print_message
from keras_strategies.callbacks._common.metric_monitor import MetricMonitor
from keras_strategies.callbacks._common.resumable_callback import ResumableCallback


class TargetStopping(ResumableCallback):
    """Stops training when a metric reaches a target.

    For a run with a goal other than the optimum: a required accuracy, the time to a
    loss in a benchmark, a smoke test. Epochs without the metric, as
    with `validation_freq`, are skipped.

    ```
    stop when metric <= target (mode "min") or metric >= target (mode "max")
    in `consecutive` epochs in a row
    ```

    After the fit `reached_epoch` is the epoch, counted from 0, that stopped the
    training, or `None` if the target was not reached.

    Args:
        target: Value to reach.
        monitor: Metric to monitor. Defaults to `"val_loss"`.
        mode: `"min"`, `"max"` or `"auto"`, the direction of the metric. Defaults to
            `"auto"`.
        consecutive: Epochs in a row, at least 1. With more than 1 a single lucky epoch
            of a noisy metric does not count. Defaults to `1`.
        verbose: `1` prints a line when the target is reached. Defaults to `0`.

    Raises:
        ValueError: If an argument is out of its range; in `fit`, if the metric is
            unknown or, with mode `"auto"`, has no direction that Keras knows.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import callbacks

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), loss="mse")
    target = callbacks.TargetStopping(0.05, monitor="loss")
    x, y = np.ones((8, 4)), np.ones((8, 1))
    history = model.fit(x, y, epochs=50, callbacks=[target], verbose=0)
    print(history.history["loss"][-1] <= 0.05, target.reached_epoch < 49)  # True True
    ```
    """

    _state_names = ("_streak", "reached_epoch")

    def __init__(
        self,
        target: float,
        monitor: str = "val_loss",
        mode: Literal["auto", "min", "max"] = "auto",
        consecutive: int = 1,
        verbose: int = 0,
    ):
        super().__init__()
        self.target: float = checks.real("target", target)
        self._monitor = MetricMonitor(monitor, mode)
        self.monitor: str = monitor
        self.mode: str = mode
        self.consecutive: int = checks.integer("consecutive", consecutive, low=1)
        self.verbose: int = verbose
        self._reset()

    def _reset(self) -> None:
        self._streak = 0
        self.reached_epoch: int | None = None
        self._monitor.reset()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        value = self._monitor.read(logs, self)
        if value is None:
            return
        if self._monitor.direction == "min":
            reached = value <= self.target
        else:
            reached = value >= self.target
        self._streak = self._streak + 1 if reached else 0
        if self._streak >= self.consecutive:
            self.reached_epoch = epoch
            self.model.stop_training = True
            if self.verbose > 0:
                print_message(
                    f"Epoch {epoch + 1}: {self.monitor} reached {self.target}."
                )
