"""Parts of a compiled step, kept with a model or an optimizer from fit to fit.

A callback puts variables and functions of its own into a training step. With the very
same ones in the next fit, also those of another callback object, the step need not be
traced again.
"""

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")


class _Parts:
    """A plain object, which neither tracking nor saving looks into."""

    LIMIT = 8  # kinds of parts

    def __init__(self) -> None:
        self.by_key: dict[Hashable, list[Any]] = {}


def take_part(owner: Any, key: Hashable, make: Callable[[], T]) -> T:
    """Returns a part that was given back under `key`, the oldest, or a new one."""
    kept = owner.__dict__.setdefault("_kept_parts", _Parts()).by_key.get(key)
    return kept.pop(0) if kept else make()


def give_back_part(owner: Any, key: Hashable, part: Any) -> None:
    """Keeps a part for the next fit."""
    by_key = owner.__dict__.setdefault("_kept_parts", _Parts()).by_key
    by_key[key] = [*by_key.pop(key, []), part]  # now the latest of the keys
    while len(by_key) > _Parts.LIMIT:
        del by_key[next(iter(by_key))]
