"""The pattern of a mask: single weights, blocks, or m zeros in every n weights."""

import math

import keras

from keras_strategies._internal import checks
from keras_strategies.compression import _masks

_LAYERS = keras.layers
_TRANSPOSED = (
    _LAYERS.Conv1DTranspose,
    _LAYERS.Conv2DTranspose,
    _LAYERS.Conv3DTranspose,
)


class Elements:
    """Every weight by itself."""

    ignores_sparsity = False

    def scores(self, weights):
        return _masks.magnitudes_of(weights)

    def spread(self, mask, shape):
        return mask


class Blocks:
    """Blocks of a matrix: all weights of a block stay or none."""

    ignores_sparsity = False

    def __init__(self, block_size, pooling):
        self.block_size, self.pooling = block_size, pooling

    def scores(self, weights):
        matrix = _masks.magnitudes_of(weights)
        matrix = keras.ops.reshape(matrix, weights.shape[-2:])
        return _masks.pool_blocks(matrix, self.block_size, self.pooling)

    def spread(self, mask, shape):
        mask = _masks.expand_blocks(mask, self.block_size, shape[-2:])
        return keras.ops.reshape(mask, shape)


class MByN:
    """`m` zeros in every `n` weights along an axis, chosen once."""

    ignores_sparsity = True

    def __init__(self, m, n, axis):
        self.m, self.n, self.axis = m, n, axis

    def mask(self, weights, held):
        # What is zero already stays zero, so that the choice is made once.
        weights = _masks.apply_mask(weights, held)
        mask = _masks.m_by_n_mask(weights, self.m, self.n, self.axis)
        return keras.ops.logical_and(mask, held)


def _pair(name, value):
    """Two integers of at least 1, given as a tuple or list."""
    good = isinstance(value, tuple | list) and len(value) == 2
    if not good:
        checks.fail(f"`{name}` must be two integers", error=TypeError, **{name: value})
    return tuple(checks.integer(name, side, low=1) for side in value)


def _input_axis(layer, weight):
    """Along which axis of a kernel its inputs lie, or `None` if on no single one."""
    if isinstance(layer, _LAYERS.Embedding):
        return None
    if isinstance(layer, _TRANSPOSED):
        return len(weight.shape) - 1
    if isinstance(layer, _LAYERS.EinsumDense) and len(weight.shape) != 2:
        return None
    return len(weight.shape) - 2 if len(weight.shape) >= 2 else None


def _m_by_n(layer, weight, m, n):
    axis = _input_axis(layer, weight)
    if axis is None or weight.shape[axis] < n:
        return None
    return MByN(m, n, axis)


def _blocks(layer, weight, block_size, pooling):
    shape = weight.shape
    if len(shape) < 2 or math.prod(shape[:-2]) != 1:
        return None
    if any(side < step for side, step in zip(shape[-2:], block_size, strict=True)):
        return None
    return Blocks(block_size, pooling)


def check_options(block_size, block_pooling, m_by_n, scope):
    """Checks the arguments of `prune` that say what is zero together."""
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
    if block_size != (1, 1) or scope != "layer":
        checks.fail(
            "`m_by_n` must not be combined with blocks or a global scope",
            fix="It says by itself which weights stay. Leave the others out.",
            m_by_n=m_by_n,
            block_size=block_size,
            scope=scope,
        )
    return block_size, m_by_n


def patterns_for(pairs, block_size, block_pooling, m_by_n):
    """The pattern of each `(layer, weight)`, or an error that lists the misfits."""
    if m_by_n is not None:
        found = [_m_by_n(*pair, *m_by_n) for pair in pairs]
    elif block_size != (1, 1):
        found = [_blocks(*pair, block_size, block_pooling) for pair in pairs]
    else:
        return [Elements() for _ in pairs]
    misfits = [
        f"{weight.path} {tuple(weight.shape)}"
        for (_, weight), pattern in zip(pairs, found, strict=True)
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
    return found
