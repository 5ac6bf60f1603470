"""Deadline of a measurement."""

import time


class Deadline:
    """A moment some seconds from now.

    Args:
        seconds: Seconds until the deadline.
    """

    def __init__(self, seconds: float):
        self._end = time.perf_counter() + seconds

    @property
    def remaining(self) -> float:
        """Seconds that remain, negative after the deadline."""
        return self._end - time.perf_counter()
