"""Masks of magnitude pruning: thresholds, blocks and m-by-n patterns.

Pure functions on `keras.ops`. A mask is a boolean tensor, true where a weight is
kept. The rule is that of TensorFlow Model Optimization, so that masks agree.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras import ops

# More than a largest number of zero.
_ABOVE = 1e-6


def num_kept(size: float, sparsity: Any) -> Any:
    """How many of `size` weights are kept: `max(round(size * (1 - sparsity)), 1)`."""
    density = 1.0 - ops.cast(sparsity, "float32")
    return ops.cast(ops.maximum(ops.round(size * density), 1.0), "int32")


def kth_largest(tensors: Sequence[Any], k: Any, signed: bool = False) -> Any:
    """The k-th largest of the numbers of all tensors, by bisection.

    They are not negative, unless `signed`.

    Halves the interval until no float32 lies inside: the result is exact. About fifty
    counting passes; a full sort takes several times as long, and twenty times under
    XLA. Numbers below the normal range of float32 count as 0. The result is 0, so that
    all are kept, if a number is infinite or not a number.
    """

    # Invariant: at least k numbers are >= low, fewer than k are >= high. The loop
    # ends when low and high are neighbours in float32: low is then the k-th largest.
    def interval_is_open(low, high, middle):
        return ops.logical_and(middle > low, middle < high)

    def halve(low, high, middle):
        counts = [ops.sum(ops.cast(numbers >= middle, "int32")) for numbers in tensors]
        at_least_k = sum(counts[1:], counts[0]) >= k
        low = ops.where(at_least_k, middle, low)
        high = ops.where(at_least_k, high, middle)
        return low, high, low + (high - low) * 0.5

    largest = ops.max(tensors[0])
    for numbers in tensors[1:]:
        largest = ops.maximum(largest, ops.max(numbers))
    # Twice the largest number, as the invariant wants `high` above all of them.
    low, high = ops.zeros((), "float32"), largest * 2.0
    if signed:
        smallest = [ops.min(numbers) for numbers in tensors]
        low = functools.reduce(ops.minimum, smallest)
        high = largest + ops.abs(largest) + _ABOVE
    middle = low + (high - low) * 0.5
    return ops.while_loop(interval_is_open, halve, (low, high, middle))[0]


def magnitudes_of(weights: Any) -> Any:
    """`|w|` in float32."""
    return ops.abs(ops.cast(weights, "float32"))


def threshold_for(tensors: Sequence[Any], sparsity: Any, signed: bool = False) -> Any:
    """The k-th largest of all numbers, `k = max(round(n * (1 - sparsity)), 1)`."""
    size = float(sum(math.prod(numbers.shape) for numbers in tensors))
    return kth_largest(tensors, num_kept(size, sparsity), signed)


def at_least_threshold(scores: Any, threshold: Any) -> Any:
    """True where a score is at least the threshold; always at the largest score."""
    threshold = ops.minimum(threshold, ops.max(scores))
    # Scores that are not numbers are kept, so that a failed training is seen.
    return ops.logical_not(scores < threshold)


def pool_blocks(magnitudes: Any, block_size: Sequence[int], pooling: str) -> Any:
    """One number a block of a matrix: the mean or the largest of its entries.

    Blocks start in the first row and column; those at the far edges may be cut.
    """
    pairs = list(zip(magnitudes.shape, block_size, strict=True))
    (row_blocks, column_blocks), (rows, columns) = (
        [math.ceil(side / step) for side, step in pairs],
        block_size,
    )
    padding = [(0, -side % step) for side, step in pairs]
    padded = ops.pad(magnitudes, padding)
    blocks = ops.reshape(padded, (row_blocks, rows, column_blocks, columns))
    if pooling == "max":
        return ops.max(blocks, axis=(1, 3))
    # The mean of a block that is cut is over its real entries, not over the padding.
    lengths = [
        np.minimum(step, side - step * np.arange(math.ceil(side / step)))
        for side, step in pairs
    ]
    counts = np.outer(*lengths).astype("float32")
    return ops.sum(blocks, axis=(1, 3)) / ops.convert_to_tensor(counts)


def expand_blocks(mask: Any, block_size: Sequence[int], shape: Sequence[int]) -> Any:
    """The mask of a matrix of `shape` from the mask of its blocks."""
    for axis, step in enumerate(block_size):
        if step > 1:
            mask = ops.repeat(mask, step, axis=axis)
    return mask[: shape[0], : shape[1]]


def m_by_n_mask(weights: Any, m: int, n: int, axis: int) -> Any:
    """True for the `n - m` largest `|w|` of every `n` in a row along `axis`.

    Of equal ones the earlier are kept. A last group that is shorter is filled up
    with zeros.

    Reference: Mishra et al., "Accelerating sparse deep neural networks" (2021),
    https://arxiv.org/abs/2104.08378.
    """
    moved = ops.moveaxis(magnitudes_of(weights), axis, -1)
    length = moved.shape[-1]
    padding = [(0, 0)] * (len(moved.shape) - 1) + [(0, -length % n)]
    groups = ops.reshape(ops.pad(moved, padding), (-1, n))
    # The rank of each number in its group, by comparing all pairs: n is small, and
    # ties get the same order on every backend.
    own, rival = groups[:, :, None], groups[:, None, :]
    earlier = ops.convert_to_tensor(np.tri(n, k=-1, dtype=bool))
    ahead = ops.logical_or(rival > own, ops.logical_and(ops.equal(rival, own), earlier))
    mask = ops.sum(ops.cast(ahead, "int32"), axis=-1) < n - m
    mask = ops.reshape(mask, (*moved.shape[:-1], -1))[..., :length]
    return ops.moveaxis(mask, -1, axis)


def apply_mask(weights: Any, mask: Any) -> Any:
    """Exact zeros (never -0) where the mask is false."""
    return ops.where(mask, weights, 0.0)


def next_mask(
    weights: Any,
    nonzero_before: Any,
    step: Any,
    schedule: Callable[[Any], Any],
    pattern: Any,
    *,
    floor: float = 0.0,
    zero_start: bool = False,
    renew: Any = True,
    threshold: Any = None,
    scores: Any = None,
) -> Any:
    """The mask after one update.

    Args:
        weights: The updated weights.
        nonzero_before: Where the weights were not zero before the update: the
            mask in force, because pruned weights are exact zeros.
        step: Optimizer step of the update, an integer tensor.
        schedule: A `SparsitySchedule`.
        pattern: One of `_patterns`.
        floor: Sparsity that the weights already had when pruning was set up, a
            Python float; it is never undercut. Above 0, masks hold from the start.
        zero_start: Whether the weights were zero throughout at that time, as a zero
            initializer makes them. Zeros then do not mean that something was pruned
            until there is something else.
        renew: Whether this call may renew masks, a Python or tensor boolean.
        threshold: The smallest score that is kept, if it does not follow from the
            schedule's sparsity of these weights alone.
        scores: What the weights are ranked by, numbers of any sign. Defaults to
            `None`, what the pattern makes of their magnitudes.
    """

    def in_force():
        return previous_mask(
            nonzero_before, step, schedule, floor=floor, zero_start=zero_start
        )

    def new_mask():
        if pattern.ignores_sparsity:
            return pattern.mask(weights, in_force())
        ranked = pattern.scores(weights) if scores is None else scores
        limit = threshold
        if limit is None:
            sparsity = target_sparsity(schedule, step, floor)
            limit = threshold_for([ranked], sparsity, signed=scores is not None)
        return pattern.expand(at_least_threshold(ranked, limit), weights.shape)

    renews = ops.logical_and(schedule.should_prune(step), renew)
    return ops.cond(renews, new_mask, in_force)


def previous_mask(
    nonzero_before: Any,
    step: Any,
    schedule: Any,
    *,
    floor: float = 0.0,
    zero_start: bool = False,
) -> Any:
    """The mask in force before an update; the arguments are those of `next_mask`."""
    if floor > 0:
        return nonzero_before
    # Before the first renewal nothing is pruned: zeros are weights like others.
    dense = step <= schedule.begin_step
    if zero_start:
        dense = ops.logical_or(dense, ops.logical_not(ops.any(nonzero_before)))
    return ops.logical_or(nonzero_before, dense)


def target_sparsity(schedule: Callable[[Any], Any], step: Any, floor: float) -> Any:
    """The sparsity of the schedule at `step`, but never less than `floor`."""
    sparsity = ops.cast(schedule(step), "float32")
    return ops.maximum(sparsity, floor) if floor > 0 else sparsity
