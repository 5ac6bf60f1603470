"""Groups of channels that can only be removed together: a union-find.

Every unit of a layer gets a channel id, a number. Tensors and weights carry arrays
of ids along one axis. Joining two arrays says that their channels can only be
removed together, freezing one says that its channels have to stay. Pure NumPy.

References: Tarjan, "Efficiency of a good but not linear set union algorithm" (1975);
for the groups, Fang et al., "DepGraph: towards any structural pruning" (2023),
https://arxiv.org/abs/2301.12900.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Channels:
    """The axis of a tensor that holds channels, and the id of each channel."""

    axis: int
    ids: np.ndarray


class ChannelGroups:
    """A union-find over channel ids, some of whose groups are frozen for a reason."""

    def __init__(self) -> None:
        self._parents: list[int] = []
        self._reasons: dict[int, str] = {}

    def new(self, count: int) -> np.ndarray:
        """Returns an array of `count` ids, each in a group of its own."""
        first = len(self._parents)
        self._parents.extend(range(first, first + count))
        return np.arange(first, first + count)

    def _root(self, channel):
        # Path halving: each node on the way is linked to its grandparent.
        while self._parents[channel] != channel:
            self._parents[channel] = self._parents[self._parents[channel]]
            channel = self._parents[channel]
        return channel

    def roots(self, ids: Iterable[int]) -> np.ndarray:
        """Returns the representative of the group of each id."""
        return np.array([self._root(int(channel)) for channel in ids], dtype=int)

    def join(self, first: Sequence[int], second: Sequence[int]) -> None:
        """Unites the groups of two arrays of one length, pair by pair."""
        if len(first) != len(second):
            raise ValueError(f"{len(first)} channels cannot join {len(second)}.")
        for pair in zip(first, second, strict=True):
            # The smaller id is the root, so that roots do not depend on the order.
            root, child = sorted(self._root(int(channel)) for channel in pair)
            self._parents[child] = root
            if child in self._reasons:
                self._reasons.setdefault(root, self._reasons[child])

    def freeze(self, ids: Iterable[int], reason: str, *, first: bool = False) -> None:
        """Keeps the groups of these ids; the first reason is remembered.

        With `first=True` this reason takes precedence over all others.
        """
        for channel in ids:
            root = self._root(int(channel))
            if first or root not in self._reasons:
                self._reasons[root] = reason

    def frozen_reason(self, channel: int) -> str | None:
        """Why the group of a channel has to stay, or `None` if it can be removed."""
        return self._reasons.get(self._root(int(channel)))
