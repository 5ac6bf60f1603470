"""Which channels belong together: union-find over the channels of tensors.

Every unit of a layer is an atom, a number. Tensors and weights carry arrays of
atoms along one axis; joining two arrays says that their channels can only be
removed together, pinning one says that it has to stay. Pure NumPy, no Keras.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Channels:
    """The axis of a tensor that holds channels, and the atom of each channel."""

    axis: int
    atoms: np.ndarray


class Atoms:
    """A union-find over atoms, some of which are pinned for a reason."""

    def __init__(self):
        self._parents = []
        self._reasons = {}

    def new(self, count):
        """Returns an array of `count` atoms that belong to nothing yet."""
        first = len(self._parents)
        self._parents.extend(range(first, first + count))
        return np.arange(first, first + count)

    def _root(self, atom):
        while self._parents[atom] != atom:
            self._parents[atom] = self._parents[self._parents[atom]]
            atom = self._parents[atom]
        return atom

    def roots(self, atoms):
        """Returns the representative of the group of every atom."""
        return np.array([self._root(int(atom)) for atom in atoms], dtype=int)

    def join(self, left, right):
        """Puts the atoms of two arrays of one length together, one by one."""
        if len(left) != len(right):
            raise ValueError(f"{len(left)} channels cannot join {len(right)}.")
        for one, other in zip(left, right, strict=True):
            kept, moved = sorted((self._root(int(one)), self._root(int(other))))
            self._parents[moved] = kept
            if moved in self._reasons:
                self._reasons.setdefault(kept, self._reasons[moved])

    def pin(self, atoms, reason, *, first=False):
        """Keeps the groups of these atoms; the first reason given is remembered.

        With `first=True` this reason counts as given before all others.
        """
        for atom in atoms:
            root = self._root(int(atom))
            if first or root not in self._reasons:
                self._reasons[root] = reason

    def reason(self, atom):
        """Why the group of an atom has to stay, or `None` if it can go."""
        return self._reasons.get(self._root(int(atom)))
