"""Signals that end a process, kept until a checkpoint is written."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class ExitSignals:
    """Notes the first SIGTERM or SIGINT of a `fit`; the second acts at once.

    A handler runs between two bytecodes, and on TensorFlow only after the step that is
    running: to save there could see half a step. So it only sets `received`.
    """

    def __init__(self, is_running: Callable[[FrameType | None], bool]):
        self._is_running = is_running
        self._previous: dict[int, Any] = {}
        self.received: int | None = None

    def install(self) -> None:
        """Installs the handlers; does nothing in other threads than the main one."""
        self.received = None
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _SIGNALS:
            earlier = getattr(signal.getsignal(number), "__self__", None)
            if isinstance(earlier, ExitSignals) and earlier is not self:
                earlier.remove_if_over()
            # Handlers that were not set by Python could not be put back.
            if signal.getsignal(number) not in (None, signal.SIG_IGN):
                self._previous[number] = signal.signal(number, self._handle)

    def remove_if_over(self) -> None:
        """Removes the handlers of a fit that raised, and so could not do it itself."""
        if not self._is_running(sys._getframe()):
            self.remove()

    def remove(self) -> None:
        """Puts the handlers of before back."""
        for number, previous in self._previous.items():
            if signal.getsignal(number) == self._handle:
                signal.signal(number, previous)
        self._previous = {}

    def _handle(self, number, frame):
        # A fit that raised has not removed its handlers.
        if self.received is not None or not self._is_running(frame):
            self.remove()
            os.kill(os.getpid(), number)
            return
        self.received = number

    def leave(self) -> None:
        """Ends the process as the signal would, or as the handler of before does."""
        number, self.received = self.received, None
        previous = self._previous.get(number or signal.SIGTERM)
        self.remove()
        if callable(previous):  # SIGINT: Python's own raises KeyboardInterrupt
            previous(number, None)
        # Unwinds `with` and `finally`; 143 is what a shell reports of SIGTERM.
        raise SystemExit(128 + (number or signal.SIGTERM))
