"""Memory of the process and of the accelerator during training."""

import warnings
from typing import Any, Literal

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private.devices import device_memory
from keras_strategies._internal.optional import require
from keras_strategies.callbacks._common.resumable_callback import ResumableCallback

_MB = 1e6


class MemoryMonitor(ResumableCallback):
    """Monitors the memory of the process and of the accelerator during `fit`.

    Memory that grows with each epoch is a leak, which would end a long run; the peak
    tells whether a larger batch fits. At the end of an epoch these are added to the
    logs, in megabytes (10^6 bytes):

    ```
    host_memory_mb         physical memory of the process
    host_memory_peak_mb    its maximum in this fit, among the samples
    device_memory_mb       memory of the first accelerator, if there is one
    device_memory_peak_mb  its maximum so far
    ```

    Worker processes of the data and other accelerators are not counted.

    Args:
        update_freq: `"epoch"`, or the number of batches from one sample to the next,
            at least 1; a sample takes some microseconds. Defaults to `"epoch"`.
        limit_mb: Stops the training, with a `RuntimeWarning`, when the process uses
            more than this many megabytes, before the system kills it. Defaults to
            `None`: no limit.

    Raises:
        ValueError: If an argument is out of its range.
        ImportError: If `psutil` is not installed.

    Example:

    ```python
    import keras
    import numpy as np
    from keras_strategies import callbacks

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", loss="mse")
    memory = callbacks.MemoryMonitor()
    x, y = np.ones((64, 4)), np.ones((64, 1))
    history = model.fit(x, y, epochs=2, callbacks=[memory], verbose=0)
    print(history.history["host_memory_mb"][-1] > 10)  # True
    ```
    """

    _state_names = ("history", "peak_mb")

    def __init__(
        self,
        update_freq: int | Literal["epoch"] = "epoch",
        limit_mb: float | None = None,
    ):
        super().__init__()
        if update_freq != "epoch":
            checks.integer(
                "update_freq", update_freq, low=1, fix="Or give update_freq='epoch'."
            )
        self.update_freq: int | Literal["epoch"] = update_freq
        self.limit_mb: float | None = checks.real(
            "limit_mb", limit_mb, low=0, low_open=True, optional=True
        )
        self._reset()

    def _reset(self) -> None:
        # Host memory in megabytes at the end of each epoch.
        self.history: list[float] = []
        self.peak_mb: float = 0.0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        super().on_train_begin(logs)
        # On JAX, `self.model` writes all variables back at each access.
        self._model_in_fit = self.model
        self._next_sample = 0
        self._sample()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._model_in_fit = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._next_sample = 0

    def on_train_batch_begin(
        self, batch: int, logs: dict[str, Any] | None = None
    ) -> None:
        if self.update_freq != "epoch" and batch >= self._next_sample:
            self._next_sample = batch + self.update_freq
            self._sample()

    def steps_until_hook(self, batch: int) -> int | None:
        """Returns how many steps may run as one program; `None` for any number."""
        if self.update_freq == "epoch":
            return None
        return max(1, self._next_sample - batch)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        memory_mb = self._sample()
        self.history.append(memory_mb)
        if logs is None:
            return
        logs["host_memory_mb"] = memory_mb
        logs["host_memory_peak_mb"] = self.peak_mb
        device = device_memory()
        if device is not None:
            logs["device_memory_mb"] = device[0] / _MB
            logs["device_memory_peak_mb"] = device[1] / _MB

    def _sample(self):
        memory_mb = host_memory() / _MB
        self.peak_mb = max(self.peak_mb, memory_mb)
        if self.limit_mb is not None and memory_mb > self.limit_mb:
            if not self._model_in_fit.stop_training:
                warnings.warn(
                    f"The process uses {memory_mb:,.0f} MB, more than `limit_mb`="
                    f"{self.limit_mb:,.0f}. Training stops.",
                    RuntimeWarning,
                    stacklevel=2,
                )
            self._model_in_fit.stop_training = True
        return memory_mb


def host_memory() -> int:
    """Returns the bytes of physical memory that the process uses now."""
    psutil = require("psutil", "`MemoryMonitor`")
    return psutil.Process().memory_info().rss
