"""Singular values of kernels, and the ranks that a budget allows."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

_LAYERS = keras.layers
KINDS = (_LAYERS.Dense, _LAYERS.Conv1D, _LAYERS.Conv2D)


@dataclasses.dataclass
class Factors:
    """The singular value decomposition of the kernel of a layer.

    A kernel is a matrix from all that an output is computed of (the positions of a
    convolution and its inputs) to the outputs.

    Attributes:
        layer: The layer.
        path: Its path.
        left, values, right: `left * values @ right` is the matrix.
    """

    layer: Any
    path: str
    left: np.ndarray
    values: np.ndarray
    right: np.ndarray

    @property
    def size(self) -> int:
        """Number of weights of the kernel."""
        return self.left.shape[0] * self.right.shape[1]

    @property
    def largest_rank(self) -> int:
        """The largest rank at which two factors have fewer weights; 0 if none has."""
        return (self.size - 1) // (self.left.shape[0] + self.right.shape[1])

    def factor_size(self, rank: int) -> int:
        """Number of weights of both factors."""
        return rank * (self.left.shape[0] + self.right.shape[1])

    def rank_for(self, energy: float) -> int:
        """The smallest rank that keeps a share of the sum of squared singular values.

        That is a share of the squared Frobenius norm of the kernel, and no
        factorization of that rank keeps more (Eckart and Young, 1936).
        """
        squares = np.cumsum(self.values**2)
        if not squares[-1]:
            return 1
        # The margin is for a full sum that rounds below its share.
        return int(np.searchsorted(squares / squares[-1], energy - 1e-12) + 1)

    def kernels(self, rank: int) -> tuple[np.ndarray, np.ndarray]:
        """The kernels of the two layers, with the singular values shared evenly."""
        # Shared evenly, so that both factors have weights of one size: int8 rounds both
        # alike.
        root = np.sqrt(self.values[:rank])
        shape = self.layer.kernel.shape
        first = (self.left[:, :rank] * root).reshape(*shape[:-1], rank)
        last = root[:, None] * self.right[:rank]
        ones = (1,) * (len(shape) - 2)
        return first, last.reshape(*ones, rank, shape[-1])


def decompose(layer: Any, path: str) -> Factors:
    """The factors of a layer of `KINDS`."""
    kernel = np.array(keras.ops.convert_to_numpy(layer.kernel), "float64")
    matrix = kernel.reshape(-1, kernel.shape[-1])
    return Factors(layer, path, *np.linalg.svd(matrix, full_matrices=False))


def ranks_by_energy(factors: Sequence[Factors], energy: float) -> dict[str, int]:
    """The rank of each layer that gets smaller at this energy."""
    ranks = {part.path: part.rank_for(energy) for part in factors}
    return {p.path: r for p in factors if (r := ranks[p.path]) <= p.largest_rank}


def ranks_by_size(factors: Sequence[Factors], share: float) -> dict[str, int]:
    """The ranks of one energy for all layers, by which they have a share of weights.

    The largest energy that does is found by bisection; layers that would not get
    smaller stay as they are.
    """
    limit = share * sum(part.size for part in factors)

    def size(energy):
        ranks = ranks_by_energy(factors, energy)
        return sum(
            part.factor_size(ranks[part.path]) if part.path in ranks else part.size
            for part in factors
        )

    # The size rises with the energy, in jumps: ranks are whole numbers.
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if size(middle) <= limit else (low, middle)
    return ranks_by_energy(factors, low) if size(low) <= limit else {}
