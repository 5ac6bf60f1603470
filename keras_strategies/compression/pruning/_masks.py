"""Which weights stay: the mathematics of magnitude pruning."""

import math

import numpy as np
from keras import ops


def kept(size, sparsity):
    """How many of `size` weights stay: `max(round(size * (1 - sparsity)), 1)`."""
    share = 1.0 - ops.cast(sparsity, "float32")
    return ops.cast(ops.maximum(ops.round(size * share), 1.0), "int32")


def kth_largest(magnitudes, k):
    """The k-th largest of non-negative numbers, exactly, by bisection.

    Halves the interval until no float32 lies inside. About fifty counting passes;
    a full sort takes several times as long, and twenty times under XLA.
    Numbers below the normal range of float32 count as 0. The result is 0, so that
    all stay, if a number is infinite or not a number.
    """

    return kth_largest_of_all([magnitudes], k)


def kth_largest_of_all(tensors, k):
    """`kth_largest` of the numbers of several tensors together."""

    def open_interval(low, high, middle):
        return ops.logical_and(middle > low, middle < high)

    def halve(low, high, middle):
        counts = [ops.sum(ops.cast(numbers >= middle, "int32")) for numbers in tensors]
        enough = sum(counts[1:], counts[0]) >= k
        low = ops.where(enough, middle, low)
        high = ops.where(enough, high, middle)
        return low, high, low + (high - low) * 0.5

    largest = ops.max(tensors[0])
    for numbers in tensors[1:]:
        largest = ops.maximum(largest, ops.max(numbers))
    low, high = ops.zeros((), "float32"), largest * 2.0
    return ops.while_loop(open_interval, halve, (low, high, high * 0.5))[0]


def magnitudes_of(weights):
    """`|w|` in float32."""
    return ops.abs(ops.cast(weights, "float32"))


def threshold_for(tensors, sparsity):
    """The k-th largest of all numbers, `k = max(round(n * (1 - sparsity)), 1)`."""
    size = float(sum(math.prod(numbers.shape) for numbers in tensors))
    return kth_largest_of_all(tensors, kept(size, sparsity))


def reach(scores, threshold):
    """True where a score reaches the threshold; always at the largest score."""
    threshold = ops.minimum(threshold, ops.max(scores))
    # Scores that are not numbers stay, so that a failed training is seen.
    return ops.logical_not(scores < threshold)


def magnitude_mask(weights, sparsity):
    """True where `|w|` reaches the k-th largest `|w|` of the tensor, ties included.

    `k = max(round(n * (1 - sparsity)), 1)` for `n` weights.
    """
    scores = magnitudes_of(weights)
    return reach(scores, threshold_for([scores], sparsity))


def pool_blocks(magnitudes, block_size, pooling):
    """One number a block of a matrix: the mean or the largest of its entries.

    Blocks start in the first row and column; those at the far edges may be cut.
    """
    pairs = list(zip(magnitudes.shape, block_size, strict=True))
    (high, wide), (rows, columns) = (
        [math.ceil(side / step) for side, step in pairs],
        block_size,
    )
    margins = [(0, -side % step) for side, step in pairs]
    blocks = ops.reshape(ops.pad(magnitudes, margins), (high, rows, wide, columns))
    if pooling == "max":
        return ops.max(blocks, axis=(1, 3))
    filled = [
        np.minimum(step, side - step * np.arange(math.ceil(side / step)))
        for side, step in pairs
    ]
    counts = np.outer(*filled).astype("float32")
    return ops.sum(blocks, axis=(1, 3)) / ops.convert_to_tensor(counts)


def expand_blocks(mask, block_size, shape):
    """The mask of a matrix of `shape` from the mask of its blocks."""
    for axis, step in enumerate(block_size):
        if step > 1:
            mask = ops.repeat(mask, step, axis=axis)
    return mask[: shape[0], : shape[1]]


def m_by_n_mask(weights, m, n, axis):
    """True for the `n - m` largest `|w|` of every `n` in a row along `axis`.

    Of equal ones the earlier stay. A last group that is shorter is filled up with
    zeros.
    """
    moved = ops.moveaxis(magnitudes_of(weights), axis, -1)
    length = moved.shape[-1]
    margins = [(0, 0)] * (len(moved.shape) - 1) + [(0, -length % n)]
    groups = ops.reshape(ops.pad(moved, margins), (-1, n))
    this, other = groups[:, :, None], groups[:, None, :]
    earlier = ops.convert_to_tensor(np.tri(n, k=-1, dtype=bool))
    ahead = ops.logical_or(
        other > this, ops.logical_and(ops.equal(other, this), earlier)
    )
    mask = ops.sum(ops.cast(ahead, "int32"), axis=-1) < n - m
    mask = ops.reshape(mask, (*moved.shape[:-1], -1))[..., :length]
    return ops.moveaxis(mask, -1, axis)


def apply_mask(weights, mask):
    """Exact zeros (never -0) where the mask is false."""
    return ops.where(mask, weights, 0.0)


def next_mask(
    weights,
    nonzero_before,
    step,
    schedule,
    pattern,
    *,
    floor=0.0,
    zero_start=False,
    renew=True,
    threshold=None,
):
    """The mask after one update.

    Args:
        weights: The updated weights.
        nonzero_before: Where the weights were not zero before the update: the
            mask in force, because pruned weights are exact zeros.
        step: Optimizer step of the update, an integer tensor.
        schedule: A `SparsitySchedule`.
        pattern: One of `_structure`.
        floor: Sparsity that the weights already had when pruning was set up, a
            Python float; it is never undercut. Above 0, masks hold from the start.
        zero_start: Whether the weights were zero throughout at that time, as a zero
            initializer makes them. Zeros then do not mean that something was pruned
            until there is something else.
        renew: Whether this call may renew masks, a Python or tensor boolean.
        threshold: What scores must reach if it is not the schedule's sparsity of
            these weights alone that says it.
    """

    def held():
        if floor > 0:
            return nonzero_before
        dense = step <= schedule.begin_step
        if zero_start:
            dense = ops.logical_or(dense, ops.logical_not(ops.any(nonzero_before)))
        return ops.logical_or(nonzero_before, dense)

    def renewed():
        if pattern.ignores_sparsity:
            return pattern.mask(weights, held())
        scores = pattern.scores(weights)
        if threshold is not None:
            return pattern.spread(reach(scores, threshold), weights.shape)
        sparsity = target_sparsity(schedule, step, floor)
        mask = reach(scores, threshold_for([scores], sparsity))
        return pattern.spread(mask, weights.shape)

    return ops.cond(ops.logical_and(schedule.should_prune(step), renew), renewed, held)


def target_sparsity(schedule, step, floor):
    """What the schedule asks for at `step`, and never less than `floor`."""
    sparsity = ops.cast(schedule(step), "float32")
    return ops.maximum(sparsity, floor) if floor > 0 else sparsity
