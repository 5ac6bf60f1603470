"""Steps and samples per second, and the remaining time."""

import time
from typing import Any

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import print_message
from keras_strategies.callbacks._common.resumable_callback import ResumableCallback


class ThroughputMonitor(ResumableCallback):
    """Measures the speed of the training and estimates the remaining time.

    To choose a batch size, to see whether a change made training faster, or whether
    it slows down from epoch to epoch. Times are measured between the ends of steps; no
    step waits for the measurement.

    ```
    steps_per_second = (steps - 1) / time from the end of the first step of the epoch
                       to the end of its last
    eta = remaining epochs * mean epoch, validation included, without the first epoch
          as soon as there is another
    ```

    The first step of an epoch, which may compile, wait for the first data and fill
    caches, is excluded. `"steps_per_second"` and, with `batch_size`,
    `"samples_per_second"` are added to the logs of the epoch. With
    `steps_per_execution=k` steps are counted, not executions.

    Args:
        batch_size: Samples in a batch, at least 1, to log samples per second too.
            Defaults to `None`.
        verbose: `1` prints a line after each epoch. Defaults to `0`.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import callbacks

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", loss="mse")
    speed = callbacks.ThroughputMonitor(batch_size=8)
    x, y = np.ones((64, 4)), np.ones((64, 1))
    history = model.fit(x, y, batch_size=8, epochs=2, callbacks=[speed], verbose=0)
    print(history.history["samples_per_second"][-1] > 0, speed.eta)  # True 0.0
    ```
    """

    async_safe = True
    _state_names = ("epoch_seconds",)

    def __init__(self, batch_size: int | None = None, verbose: int = 0):
        super().__init__()
        self.batch_size: int | None = checks.integer(
            "batch_size", batch_size, low=1, optional=True
        )
        self.verbose: int = verbose
        self._epochs = None
        self._epoch = -1
        self._reset()

    def _reset(self) -> None:
        self.epoch_seconds: list[float] = []

    @property
    def eta(self) -> float | None:
        """Estimated seconds to the end of the training; `None` if not known yet."""
        if not self.epoch_seconds or self._epochs is None:
            return None
        seconds = self.epoch_seconds[1:] or self.epoch_seconds
        return (self._epochs - self._epoch - 1) * sum(seconds) / len(seconds)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        super().on_train_begin(logs)
        self._epochs = (self.params or {}).get("epochs")
        self._epoch = -1

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._begin = _now()
        self._first = self._last = None  # (steps done, time)

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        # `batch` is that of the last step of an execution: executions count as steps.
        self._last = (batch + 1, _now())
        if self._first is None:
            self._first = self._last

    def steps_until_hook(self, batch: int) -> int | None:
        """Returns how many steps may run as one program; `None` for any number."""
        return None  # measures programs, and counts their steps

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch
        self.epoch_seconds.append(_now() - self._begin)
        rate = self._rate()
        if rate is not None and logs is not None:
            logs["steps_per_second"] = rate
            if self.batch_size is not None:
                logs["samples_per_second"] = rate * self.batch_size
        if self.verbose > 0:
            speed = "" if rate is None else f" {rate:,.1f} steps/s,"
            if rate is not None and self.batch_size is not None:
                speed += f" {rate * self.batch_size:,.0f} samples/s,"
            print_message(f"Epoch {epoch + 1}:{speed} {clock(self.eta or 0)} to go")

    def _rate(self):
        if self._first is None:
            return None
        (first, begin), (last, end) = self._first, self._last
        if last == first:  # a single step or execution: measured from its start
            first, begin = 0, self._begin
        return (last - first) / max(end - begin, 1e-9)


def clock(seconds: float) -> str:
    """Formats a duration as `1:02:03` or `2:03`."""
    minutes, seconds = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _now():
    return time.perf_counter()
