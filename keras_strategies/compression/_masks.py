"""Which weights stay: the mathematics of magnitude pruning."""

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

    def open_interval(low, high, middle):
        return ops.logical_and(middle > low, middle < high)

    def halve(low, high, middle):
        enough = ops.sum(ops.cast(magnitudes >= middle, "int32")) >= k
        low = ops.where(enough, middle, low)
        high = ops.where(enough, high, middle)
        return low, high, low + (high - low) * 0.5

    low, high = ops.zeros((), "float32"), ops.max(magnitudes) * 2.0
    return ops.while_loop(open_interval, halve, (low, high, high * 0.5))[0]


def magnitude_mask(weights, sparsity):
    """True where `|w|` reaches the k-th largest `|w|` of the tensor, ties included.

    `k = max(round(n * (1 - sparsity)), 1)` for `n` weights.
    """
    magnitudes = ops.abs(ops.cast(weights, "float32"))
    size = 1.0
    for side in magnitudes.shape:
        size *= int(side)
    threshold = kth_largest(magnitudes, kept(size, sparsity))
    # Weights that are not numbers stay, so that a failed training is seen.
    return ops.logical_not(magnitudes < threshold)


def apply_mask(weights, mask):
    """Exact zeros (never -0) where the mask is false."""
    return ops.where(mask, weights, 0.0)


def next_mask(
    weights, nonzero_before, step, schedule, *, floor=0.0, zero_start=False, renew=True
):
    """The mask after one update.

    Args:
        weights: The updated weights.
        nonzero_before: Where the weights were not zero before the update: the
            mask in force, because pruned weights are exact zeros.
        step: Optimizer step of the update, an integer tensor.
        schedule: A `SparsitySchedule`.
        floor: Sparsity that the weights already had when pruning was set up, a
            Python float; it is never undercut. Above 0, masks hold from the start.
        zero_start: Whether the weights were zero throughout at that time, as a zero
            initializer makes them. Zeros then do not mean that something was pruned
            until there is something else.
        renew: Whether this call may renew masks, a Python or tensor boolean.
    """

    def held():
        if floor > 0:
            return nonzero_before
        dense = step <= schedule.begin_step
        if zero_start:
            dense = ops.logical_or(dense, ops.logical_not(ops.any(nonzero_before)))
        return ops.cond(
            dense, lambda: ops.ones_like(nonzero_before), lambda: nonzero_before
        )

    def renewed():
        sparsity = ops.cast(schedule(step), "float32")
        if floor > 0:
            sparsity = ops.maximum(sparsity, floor)
        return magnitude_mask(weights, sparsity)

    return ops.cond(ops.logical_and(schedule.should_prune(step), renew), renewed, held)
