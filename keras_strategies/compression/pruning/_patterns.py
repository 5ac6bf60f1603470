"""Patterns of pruning masks: single weights, blocks, or m zeros in every n weights.

A pattern has `scores(weights)`, one number for each unit that is kept or pruned as a
whole, and `expand(mask, shape)`, from the mask of the units to that of the weights.
One that ignores the schedule's sparsity has `mask(weights, previous_mask)` instead.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras

from keras_strategies._internal import checks
from keras_strategies.compression._common.compressible_weights import LayerWeight
from keras_strategies.compression.pruning import _masks

_LAYERS = keras.layers
_TRANSPOSED = (
    _LAYERS.Conv1DTranspose,
    _LAYERS.Conv2DTranspose,
    _LAYERS.Conv3DTranspose,
)


class Elements:
    """Every weight by itself."""

    ignores_sparsity = False

    def scores(self, weights: Any) -> Any:
        return _masks.magnitudes_of(weights)

    def expand(self, mask: Any, shape: Sequence[int]) -> Any:
        return mask


class Blocks:
    """Blocks of a matrix: all weights of a block are kept, or none."""

    ignores_sparsity = False

    def __init__(self, block_size: tuple[int, int], pooling: str) -> None:
        self.block_size, self.pooling = block_size, pooling

    def scores(self, weights: Any) -> Any:
        matrix = _masks.magnitudes_of(weights)
        # A 1x1 convolution is a matrix with leading axes of one.
        matrix = keras.ops.reshape(matrix, weights.shape[-2:])
        return _masks.pool_blocks(matrix, self.block_size, self.pooling)

    def expand(self, mask: Any, shape: Sequence[int]) -> Any:
        mask = _masks.expand_blocks(mask, self.block_size, shape[-2:])
        return keras.ops.reshape(mask, shape)


class MByN:
    """`m` zeros in every `n` weights along an axis, chosen once."""

    ignores_sparsity = True

    def __init__(self, m: int, n: int, axis: int) -> None:
        self.m, self.n, self.axis = m, n, axis

    def mask(self, weights: Any, previous_mask: Any) -> Any:
        # What is zero already stays zero, so that the choice is made once.
        weights = _masks.apply_mask(weights, previous_mask)
        mask = _masks.m_by_n_mask(weights, self.m, self.n, self.axis)
        return keras.ops.logical_and(mask, previous_mask)


def _pair(name, value):
    """Two integers of at least 1, given as a tuple or list."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        checks.fail(f"`{name}` must be two integers", error=TypeError, **{name: value})
    return tuple(checks.integer(name, side, low=1) for side in value)


def _input_axis(layer, weight):
    """The axis of a kernel that has its inputs, or `None` if it is no single one."""
    # A row of an Embedding is looked up, not summed over: it has no input axis.
    if isinstance(layer, _LAYERS.Embedding):
        return None
    if isinstance(layer, _TRANSPOSED):
        return len(weight.shape) - 1
    # The equation of an EinsumDense may spread its inputs over several axes.
    if isinstance(layer, _LAYERS.EinsumDense) and len(weight.shape) != 2:
        return None
    return len(weight.shape) - 2 if len(weight.shape) >= 2 else None


def _m_by_n(layer, weight, m, n):
    """The m-by-n pattern of a weight, or `None` if it does not fit."""
    axis = _input_axis(layer, weight)
    if axis is None or weight.shape[axis] < n:
        return None
    return MByN(m, n, axis)


def _blocks(weight, block_size, pooling):
    """The block pattern of a weight, or `None` if it does not fit."""
    shape = weight.shape
    is_matrix = len(shape) >= 2 and math.prod(shape[:-2]) == 1
    if not is_matrix:
        return None
    if any(side < step for side, step in zip(shape[-2:], block_size, strict=True)):
        return None
    return Blocks(block_size, pooling)


def check_options(
    block_size: Any, block_pooling: str, m_by_n: Any, scope: str
) -> tuple[Any, Any]:
    """Checks the arguments of `prune` about patterns; returns the sizes as tuples."""
    block_size = _pair("block_size", block_size)
    checks.choice("block_pooling", block_pooling, ("avg", "max"))
    checks.choice("scope", scope, ("layer", "global"))
    if m_by_n is None:
        return block_size, None
    m_by_n = _pair("m_by_n", m_by_n)
    if m_by_n[0] >= m_by_n[1]:
        checks.fail(
            "`m_by_n` must be (m, n) with m < n: m zeros in every n weights",
            m_by_n=m_by_n,
        )
    # The pattern fixes the zeros of each group: nothing is left to rank.
    if block_size != (1, 1) or scope != "layer":
        checks.fail(
            "`m_by_n` must not be combined with blocks or a global scope",
            fix="It says by itself which weights are kept. Leave the others out.",
            m_by_n=m_by_n,
            block_size=block_size,
            scope=scope,
        )
    return block_size, m_by_n


def patterns_for(
    pairs: Sequence[LayerWeight], block_size: Any, block_pooling: str, m_by_n: Any
) -> list[Any]:
    """The pattern of each `(layer, weight)`, or an error that lists the misfits."""
    patterns: list[Any]
    if m_by_n is not None:
        patterns = [_m_by_n(*pair, *m_by_n) for pair in pairs]
    elif block_size != (1, 1):
        patterns = [_blocks(weight, block_size, block_pooling) for _, weight in pairs]
    else:
        return [Elements() for _ in pairs]
    misfits = [
        f"{weight.path} {tuple(weight.shape)}"
        for (_, weight), pattern in zip(pairs, patterns, strict=True)
        if pattern is None
    ]
    if misfits and m_by_n is not None:
        checks.fail(
            "`m_by_n` needs kernels with one axis of inputs, at least n long",
            fix="Leave these weights out with `exclude`.",
            m_by_n=m_by_n,
            misfits=misfits,
        )
    if misfits:
        checks.fail(
            "`block_size` must fit into every pruned weight, and these must be "
            "matrices (or kernels of 1x1 convolutions)",
            fix="Leave these weights out with `exclude`.",
            block_size=block_size,
            misfits=misfits,
        )
    return patterns
