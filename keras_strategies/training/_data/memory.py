"""Memory for values that are computed once and kept."""

import math
from collections.abc import Iterable, Sequence

# Part of the free memory that kept values may take.
_MEMORY_PART = 0.25


def float_bytes(shapes: Iterable[Sequence[int | None]], samples: int) -> int | None:
    """Returns the bytes of float32 values for so many samples; `None` if not known.

    Args:
        shapes: Their shapes without the batch.
        samples: Number of samples.
    """
    shapes = list(shapes)
    if any(side is None for shape in shapes for side in shape):
        return None
    return sum(4 * samples * math.prod(shape) for shape in shapes)


def fits_in_memory(nbytes: int) -> bool:
    """Returns whether values of this size may be kept: a quarter of what is free."""
    import psutil  # here: the import of the package has a budget

    return nbytes <= _MEMORY_PART * psutil.virtual_memory().available
