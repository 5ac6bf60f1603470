"""Prefetch of the next item of an iterator in a thread."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def prefetch(iterator: Iterator[Any]) -> Iterator[Any]:
    """Yields from an iterator while the next item is made in a thread.

    No reference to an item remains here while it is used, so that there are three at
    most: the one in use, the next, and the one made when the next is asked for.
    """
    end = object()
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(next, iterator, end)
        while True:
            # A list, as a name would refer to the item while it is used.
            ready = [following.result()]
            if ready[0] is end:
                return
            following = pool.submit(next, iterator, end)
            yield ready.pop()
