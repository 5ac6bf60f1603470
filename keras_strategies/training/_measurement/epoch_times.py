"""Duration of the epochs of a fit."""

import time
from typing import Any

from keras_strategies._internal import bases


class EpochTimes(bases.Callback):
    """Measures the seconds of each epoch, without batch hooks, which take time."""

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.seconds: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._begin = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.seconds.append(time.perf_counter() - self._begin)
