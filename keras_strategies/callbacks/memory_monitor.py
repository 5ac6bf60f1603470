"""The memory that a training takes."""

import warnings

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private.devices import device_memory
from keras_strategies._internal.optional import require
from keras_strategies.callbacks._resumable import ResumableCallback

_MB = 1e6


class MemoryMonitor(ResumableCallback):
    """Watches the memory of the process and of the accelerator during `fit`.

    Memory that grows with each epoch is a leak, which ends a long run in the night;
    the peak says whether a larger batch fits. At the end of an epoch these are added
    to the logs, in megabytes (10^6 bytes):

    ```
    host_memory_mb         physical memory of the process
    host_memory_peak_mb    the most of it in this fit, among the samples
    device_memory_mb       memory of the first accelerator, if there is one
    device_memory_peak_mb  the most of it so far
    ```

    Worker processes of the data and other accelerators are not counted.

    Args:
        update_freq: `"epoch"`, or the number of batches from one sample to the next,
            at least 1; a sample takes some microseconds. Defaults to `"epoch"`.
        limit_mb: Stops the training, with a `RuntimeWarning`, when the process takes
            more than this many megabytes, before the system ends it. Defaults to
            `None`.

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

    def __init__(self, update_freq="epoch", limit_mb=None):
        super().__init__()
        if update_freq != "epoch":
            checks.integer(
                "update_freq", update_freq, low=1, fix="Or give update_freq='epoch'."
            )
        self.update_freq = update_freq
        self.limit_mb = checks.real(
            "limit_mb", limit_mb, low=0, low_open=True, optional=True
        )
        self._reset()

    def _reset(self):
        self.history = []  # host memory in megabytes, of each epoch
        self.peak_mb = 0.0

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        # On JAX `model` writes all variables back: too much for setting a flag.
        self._model_in_fit = self.model
        self._next = 0
        self._sample()

    def on_train_end(self, logs=None):
        self._model_in_fit = None

    def on_epoch_begin(self, epoch, logs=None):
        self._next = 0

    def on_train_batch_begin(self, batch, logs=None):
        if self.update_freq != "epoch" and batch >= self._next:
            self._next = batch + self.update_freq
            self._sample()

    def on_epoch_end(self, epoch, logs=None):
        now = self._sample()
        self.history.append(now)
        if logs is None:
            return
        logs["host_memory_mb"] = now
        logs["host_memory_peak_mb"] = self.peak_mb
        device = device_memory()
        if device is not None:
            logs["device_memory_mb"] = device[0] / _MB
            logs["device_memory_peak_mb"] = device[1] / _MB

    def _sample(self):
        now = host_memory() / _MB
        self.peak_mb = max(self.peak_mb, now)
        if self.limit_mb is not None and now > self.limit_mb:
            if not self._model_in_fit.stop_training:
                warnings.warn(
                    f"The process takes {now:,.0f} MB, more than `limit_mb`="
                    f"{self.limit_mb:,.0f}. Training stops.",
                    RuntimeWarning,
                    stacklevel=2,
                )
            self._model_in_fit.stop_training = True
        return now


def host_memory():
    """Bytes of physical memory that the process uses now."""
    psutil = require("psutil", "`MemoryMonitor`")
    return psutil.Process().memory_info().rss
