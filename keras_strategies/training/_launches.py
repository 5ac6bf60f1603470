"""Where the rows of a launch come from: device memory, blocks, or a stream."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import keras
import numpy as np


class Launch(NamedTuple):
    """The rows for one call of a compiled loop.

    Attributes:
        data: Arrays on the device.
        order: Device vector of row numbers, `None` for the rows as they lie.
        first: Number of the first batch in `data` (or in `order`).
        full: Number of full batches.
        rest: Rows of the partial batch behind them, or 0.
        loose: Whether batches of these data differ in size, in this launch or not.
        batches: Number of batches, the partial one included.
    """

    data: Any
    order: Any
    first: int
    full: int
    rest: int
    loose: bool = False

    @property
    def batches(self):
        return self.full + bool(self.rest)


def row_bytes(arrays):
    """Bytes of one row of all the arrays."""
    leaves = [leaf for leaf in keras.tree.flatten(arrays) if leaf is not None]
    return sum(leaf.nbytes // max(1, len(leaf)) for leaf in leaves)


def number_of_batches(rows, batch_size):
    """The partial one included."""
    return -(-rows // batch_size)


class Cuts(NamedTuple):
    """Cuts `rows` rows into launches of `steps` batches, at most `limit` batches."""

    rows: int
    batch_size: int
    steps: int
    limit: int | None = None

    @property
    def batches(self):
        total = number_of_batches(self.rows, self.batch_size)
        return total if self.limit is None else min(total, self.limit)

    @property
    def loose(self):
        return self.rows % self.batch_size > 0

    def launches(self):
        """`(first batch, full batches, rows of the partial one)` of each launch."""
        rest = self.rows % self.batch_size
        for first in range(0, self.batches, self.steps):
            last = min(first + self.steps, self.batches)
            has_rest = rest and last * self.batch_size > self.rows
            yield first, last - first - bool(has_rest), rest if has_rest else 0


class Resident:
    """All rows on the device; each pass makes a new order there."""

    def __init__(self, device, arrays, cuts, order=None):
        self.device, self.cuts, self.order = device, cuts, order
        self.data = device.to_device(arrays)
        self._passes = 0

    def __iter__(self):
        number, self._passes = self._passes, self._passes + 1
        order = None
        if self.order is not None:
            order = self.order(self.device, self.cuts, number)
        for first, full, rest in self.cuts.launches():
            yield Launch(self.data, order, first, full, rest, self.cuts.loose)

    def close(self):
        """Lets go of the device's memory."""
        self.data = None


class Blocks:
    """The rows of one launch at a time; the next block is made meanwhile."""

    def __init__(self, device, arrays, cuts, order=None):
        self.device, self.cuts, self.order = device, cuts, order
        self.arrays = arrays
        self._passes = 0

    def __iter__(self):
        number, self._passes = self._passes, self._passes + 1
        order = None
        if self.order is not None:
            order = np.asarray(self.order(self.device, self.cuts, number))
        cuts = self.cuts.launches()
        yield from ahead(lambda cut: self._block(order, *cut), cuts)

    def _block(self, order, first, full, rest):
        size = self.cuts.batch_size
        begin, count = first * size, full * size + rest
        rows = slice(begin, begin + count)
        # One shape for all the blocks: XLA compiles for each shape.
        padded = min(self.cuts.steps, self.cuts.rows // size) * size

        def cut(leaf):
            if leaf is None:
                return None
            taken = leaf[rows] if order is None else leaf[order[rows]]
            if full and len(taken) < padded:
                block = np.zeros((padded, *leaf.shape[1:]), leaf.dtype)
                block[:count] = taken
                return block
            return taken

        data = self.device.to_device(keras.tree.map_structure(cut, self.arrays))
        return Launch(data, None, 0, full, rest, self.cuts.loose)

    def close(self):
        """Nothing is held between launches."""


def ahead(make, items):
    """Yields `make(item)` for each item, the next one under way in a thread."""
    with ThreadPoolExecutor(1) as pool:
        future = None
        for item in items:
            following = pool.submit(make, item)
            if future is not None:
                yield future.result()
            future = following
        if future is not None:
            yield future.result()


def shuffled(seed):
    """The order of the rows when all of them are shuffled in each pass."""

    def order(device, cuts, number):
        return device.permutation(cuts.rows, seed, number)

    return order


def shuffled_in_batches(seed):
    """The order of the rows for `shuffle="batch"`: only within each batch."""

    def order(device, cuts, number):
        rng = np.random.default_rng([seed, number])
        batch = np.arange(cuts.rows) // cuts.batch_size
        rows = np.lexsort((rng.random(cuts.rows), batch))
        return device.to_device(rows.astype(np.int32))

    return order
