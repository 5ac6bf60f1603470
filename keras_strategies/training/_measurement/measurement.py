"""Measured time and memory of one candidate."""

from typing import NamedTuple


class Measurement(NamedTuple):
    """What was measured of one candidate.

    Attributes:
        name: Name of the candidate.
        seconds: Seconds per epoch, `None` if it was not measured.
        compile_seconds: Seconds of its first steps, compilation included.
        bytes: Bytes of data on the device.
        note: Why it was not measured, or empty.
    """

    name: str
    seconds: float | None = None
    compile_seconds: float | None = None
    bytes: int | None = None
    note: str = ""
