"""Standard output whose reader has left, as `| head` does."""

import os
from typing import IO, Any


def discard(stream: IO[Any]) -> None:
    """Sends what is and will be written to a stream nowhere, buffered text included."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, stream.fileno())
    os.close(devnull)
