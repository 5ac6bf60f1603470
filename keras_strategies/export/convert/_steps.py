"""Steps of an export: reports of their progress, and the artifact that one refused."""

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

from keras_strategies.export._common import ExportError

# A context variable, so that exports in other threads do not report here.
_callback: contextvars.ContextVar[Callable[[str], Any] | None]
_callback = contextvars.ContextVar("export_step", default=None)


@contextlib.contextmanager
def report_steps(callback: Callable[[str], Any]) -> Iterator[None]:
    """Calls `callback(text)` before each step of the exports inside the block."""
    token = _callback.set(callback)
    try:
        yield
    finally:
        _callback.reset(token)


def report_step(text: str) -> None:
    """Reports the beginning of a step."""
    callback = _callback.get()
    if callback is not None:
        callback(text)


class RejectedArtifact(Exception):
    """Carries a refused artifact past the temporary folder."""

    def __init__(self, error: ExportError, content: bytes) -> None:
        super().__init__(str(error))
        self.error = error
        self.content = content
