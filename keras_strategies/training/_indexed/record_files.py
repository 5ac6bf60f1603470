"""What sources of records in files ask of their arguments."""

import os
from collections.abc import Callable, Sequence
from typing import Any

from keras_strategies._internal import checks


def checked_paths(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    parse: Callable[[bytes], Any],
) -> list[str | os.PathLike[str]]:
    """Returns one path or several as a list, if there is any and `parse` is callable.

    Args:
        paths: One file or several.
        parse: From the bytes of a record to a tuple or dict of arrays.
    """
    several = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not several:
        checks.fail("`paths` must name a file", paths=paths)
    if not callable(parse):
        checks.fail("`parse` must be a function", error=TypeError, parse=parse)
    return several
