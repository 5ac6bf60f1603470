"""The moving averages of `use_ema`, taken when a step is really over.

An optimizer averages the weights inside its own `apply`, so before what wraps it has
corrected them: the average of weights that the model never had, which Keras writes
over the model at the end of `fit`. Flag, averages and the counter of steps are reached
by private names only. Keras 3.12 to 3.15.
"""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import keras
from keras import ops


@contextlib.contextmanager
def averages_deferred(optimizers: Iterable[Any]) -> Iterator[None]:
    """Has built optimizers take their averages at the end of the block, not in `apply`.

    Inside the block they seem to have no `use_ema`, so that of nested blocks the
    outermost one averages. If `apply` was undone in the block, the step counter
    included, nothing is averaged.
    """
    averaging = [optimizer for optimizer in optimizers if optimizer.use_ema]
    # Copies: Torch counts in place.
    counts = [
        ops.copy(ops.convert_to_tensor(optimizer._iterations))
        for optimizer in averaging
    ]
    for optimizer in averaging:
        optimizer.use_ema = False
    try:
        yield
    finally:
        for optimizer in averaging:
            optimizer.use_ema = True
    for optimizer, count in zip(averaging, counts, strict=True):
        _average(optimizer, count)


def _average(optimizer, count):
    """What Keras does at the end of a step; `count` are the batches before it."""
    stepped = ops.not_equal(ops.convert_to_tensor(optimizer._iterations), count)
    updates = count // (optimizer.gradient_accumulation_steps or 1)
    frequency = optimizer.ema_overwrite_frequency
    overwrites = None
    if frequency:
        is_due = ops.equal((updates + 1) % frequency, 0)
        overwrites = ops.logical_and(stepped, is_due)
    pairs = zip(
        optimizer._trainable_variables,
        optimizer._model_variables_moving_average,
        strict=True,
    )
    for variable, average in pairs:
        if average is None:  # overwritten by its gradient, as float8 scales are
            continue
        weight, old = (
            ops.stop_gradient(ops.convert_to_tensor(v)) for v in (variable, average)
        )
        # Exact for a weight that does not move, unlike Keras's sum of two products.
        moved = old + ops.cast(1 - optimizer.ema_momentum, old.dtype) * (weight - old)
        moved = ops.where(ops.equal(updates, 0), weight, moved)
        moved = ops.where(stepped, moved, old)
        average.assign(moved)
        if overwrites is not None:
            variable.assign(ops.where(overwrites, moved, weight))


def has_averaged(optimizer: Any) -> bool:
    """Whether the averages of `use_ema` are more than the zeros they start with."""
    return int(ops.convert_to_numpy(optimizer._iterations)) > 0


def moving_average_variables(optimizer: Any) -> list[keras.Variable | None]:
    """The variables of `use_ema` in the order of the weights.

    Raises:
        AttributeError: If the optimizer has none, or is not built.
    """
    return optimizer._model_variables_moving_average
