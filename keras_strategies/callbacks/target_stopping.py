"""Stopping when a metric is good enough."""

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import print_message
from keras_strategies.callbacks._monitor import Monitor
from keras_strategies.callbacks._resumable import ResumableCallback


class TargetStopping(ResumableCallback):
    """Stops training when a metric reaches a target.

    For a run that has a purpose rather than an optimum: a required accuracy, the
    time to a given loss in a benchmark, a smoke test. Epochs without the metric, as
    with `validation_freq`, are skipped.

    ```
    stop when metric <= target (mode "min") or metric >= target (mode "max")
    in `consecutive` epochs in a row
    ```

    After the fit `reached_epoch` is the epoch, counted from 0, whose end stopped the
    training, or `None` if the target was not reached.

    Args:
        target: Value to reach.
        monitor: Metric to watch. Defaults to `"val_loss"`.
        mode: `"min"`, `"max"` or `"auto"`, which asks the metric. Defaults to
            `"auto"`.
        consecutive: Epochs in a row, at least 1. More than one keeps a lucky epoch of
            a noisy metric from counting. Defaults to `1`.
        verbose: `1` prints a line when the target is reached. Defaults to `0`.

    Raises:
        ValueError: If an argument is out of its range; in `fit`, if the metric is
            unknown.

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
        self, target, monitor="val_loss", mode="auto", consecutive=1, verbose=0
    ):
        super().__init__()
        self.target = checks.real("target", target)
        self._monitor = Monitor(monitor, mode)
        self.monitor, self.mode = monitor, mode
        self.consecutive = checks.integer("consecutive", consecutive, low=1)
        self.verbose = verbose
        self._reset()

    def _reset(self):
        self._streak, self.reached_epoch = 0, None
        self._monitor.warned = False
        self._monitor.direction = None if self.mode == "auto" else self.mode

    def on_epoch_end(self, epoch, logs=None):
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
