"""Stopping at a time limit."""

import time
from typing import Any, Literal

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import print_message
from keras_strategies.callbacks._common.resumable_callback import ResumableCallback

# Of the time limit, how much may pass between two looks at the clock.
_PART_OF_LIMIT = 0.01


class TimeBudget(ResumableCallback):
    """Stops training before it exceeds a time limit.

    For a rented machine, a job queue or a fair comparison of two methods. It stops
    before the epoch (or the step) that would exceed the limit, estimated from those
    before it.

    ```
    update "epoch": stop when spent + mean epoch > time_limit
    update "batch": stop when spent + mean step * (running steps + 1)
                              + last validation > time_limit
    ```

    The first epoch and the first step, which compile, are left out of the means once
    there are others. The limit is for the time inside `fit`. A state from `set_state`
    includes the seconds that were spent before: a resumed training does not start
    from 0. A later fit with the same object does.

    After a stop within an epoch Keras still validates and ends the epoch. At least
    one epoch (or step) is trained.

    Args:
        time_limit: Time limit in seconds, greater than 0.
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
    budget = callbacks.TimeBudget(time_limit=1.0)
    x, y = np.ones((8, 4)), np.ones((8, 1))
    history = model.fit(x, y, epochs=100_000, callbacks=[budget], verbose=0)
    print(len(history.epoch) < 100_000, budget.stopped)  # True True
    ```
    """

    # With `async_safe` Keras need not wait for each batch on JAX: another thread then
    # calls `on_train_batch_end` when the device has finished the batch.
    async_safe = True
    _state_names = ("_spent", "stopped")

    def __init__(
        self,
        time_limit: float,
        update: Literal["epoch", "batch"] = "epoch",
        verbose: int = 0,
    ):
        super().__init__()
        self.time_limit: float = checks.real(
            "time_limit", time_limit, low=0, low_open=True
        )
        self.update: str = checks.choice("update", update, ("epoch", "batch"))
        self.verbose: int = verbose
        self._model_in_fit = None
        self._reset()

    def _reset(self) -> None:
        self._spent = 0.0  # seconds of the fits before this one
        self.stopped: bool = False

    @property
    def spent(self) -> float:
        """Seconds spent, now or when the last fit ended."""
        if self._model_in_fit is None:
            return self._spent
        return self._spent + _now() - self._begin

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        super().on_train_begin(logs)
        self._begin = _now()
        self.stopped = False
        self._model_in_fit = self.model
        self._epochs, self._steps = _Mean(), _Mean()
        self._started_steps = self._finished_steps = 0
        self._validation = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch_begin = self._last_end = _now()
        self._started_steps = self._finished_steps = 0

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        self._started_steps += 1

    def on_train_batch_end(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        self._finished_steps += 1
        now = _now()
        self._steps.add(now - self._last_end)
        self._last_end = now
        if self.update == "batch":
            # On JAX steps are dispatched before those ahead of them have ended.
            running = max(self._started_steps - self._finished_steps, 0)
            estimate = self._steps.value * (running + 1) + self._validation
            self._stop_unless_left(estimate)

    def steps_until_hook(self, batch: int) -> int | None:
        """Returns how many steps may run as one program; `None` for any number."""
        if self.update == "epoch":
            return None
        # A hundredth of the limit at the speed so far, to stop in time.
        if not batch:
            return 1
        seconds = max((_now() - self._epoch_begin) / batch, 1e-6)
        return max(1, int(_PART_OF_LIMIT * self.time_limit / seconds))

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._test_begin = _now()

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        self._validation = _now() - self._test_begin

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epochs.add(_now() - self._epoch_begin)
        if self.update == "epoch":
            self._stop_unless_left(self._epochs.value)
        else:
            self._stop_unless_left(self._steps.value + self._validation)
        if self.stopped and self.verbose > 0:
            print_message(
                f"Epoch {epoch + 1}: time limit of {self.time_limit:g} s reached."
            )

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._spent = self.spent
        self._model_in_fit = None

    def get_state(self) -> dict[str, Any]:
        state = super().get_state()
        state["spent"] = self.spent
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        self._begin = _now()  # within a fit, what it has spent is in the state

    def _stop_unless_left(self, seconds):
        """Stops the fit unless so many seconds remain."""
        if self.spent + seconds > self.time_limit:
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
