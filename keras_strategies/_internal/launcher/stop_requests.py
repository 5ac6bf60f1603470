"""SIGTERM and SIGINT of a launcher, kept until its loop looks at them."""

import signal
import threading
from types import FrameType
from typing import Any, Self

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequests:
    """Notes the first signal inside its `with`; the second acts at once.

    Attributes:
        number: The signal, `None` as long as there was none.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            return self  # Python allows handlers in the main thread only
        for number in _SIGNALS:
            self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *error: object) -> None:
        self._restore()

    def _restore(self):
        for number, previous in self._previous.items():
            signal.signal(number, previous)
        self._previous = {}

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.number is not None:
            self._restore()
            raise KeyboardInterrupt
        self.number = number
