"""Blocks of steps, and how the rows of an epoch are split into them."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from keras_strategies.training._data.arrays import num_batches


class StepBlock(NamedTuple):
    """The rows for one call of a compiled loop of steps.

    Attributes:
        data: Arrays on the device.
        order: Device vector of row numbers, `None` for the rows as they are.
        first_batch: Number of the first batch in `data` (or in `order`).
        full_batches: Number of full batches.
        partial_batch_rows: Rows of the partial batch after them, or 0.
        dynamic_batch: Whether batches of these data differ in size, in this block or in
            another one.
        batch_size: Rows of a full batch.
        next_block: A `StepBlock` that belongs to this one, with batches of another
            shape.
    """

    data: Any
    order: Any
    first_batch: int
    full_batches: int
    partial_batch_rows: int
    dynamic_batch: bool = False
    batch_size: int | None = None
    next_block: "StepBlock | None" = None

    @property
    def batches(self) -> int:
        """Number of batches, the partial one included."""
        return self.full_batches + bool(self.partial_batch_rows)


class BlockSplit(NamedTuple):
    """Splits `rows` rows into blocks of `steps` batches, at most `limit` batches."""

    rows: int
    batch_size: int
    steps: int
    limit: int | None = None

    @property
    def batches(self) -> int:
        """Number of batches, a partial one included."""
        total = num_batches(self.rows, self.batch_size)
        return total if self.limit is None else min(total, self.limit)

    @property
    def dynamic_batch(self) -> bool:
        """Whether the last batch of the data is a partial one."""
        return self.rows % self.batch_size > 0

    def blocks(self) -> Iterator[tuple[int, int, int]]:
        """Yields `(first batch, full batches, partial batch rows)` of each block."""
        remainder = self.rows % self.batch_size
        for first in range(0, self.batches, self.steps):
            last = min(first + self.steps, self.batches)
            # Only the last block reaches beyond the rows; a limit may exclude that.
            has_partial = remainder and last * self.batch_size > self.rows
            full = last - first - bool(has_partial)
            yield first, full, remainder if has_partial else 0
