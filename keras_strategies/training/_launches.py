"""Where the rows of a launch come from: device memory, blocks, or a stream."""

import itertools
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
        batch_size: Rows of a full batch.
        then: A `Launch` that belongs to this one, with batches of another shape.
        batches: Number of batches, the partial one included.
    """

    data: Any
    order: Any
    first: int
    full: int
    rest: int
    loose: bool = False
    batch_size: int | None = None
    then: Any = None

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
            launch = Launch(self.data, order, first, full, rest, self.cuts.loose)
            yield launch._replace(batch_size=self.cuts.batch_size)

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
        yield from ahead(self._block(order, *cut) for cut in cuts)

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
        return Launch(data, None, 0, full, rest, self.cuts.loose, size)

    def close(self):
        """Nothing is held between launches."""


class Stream:
    """Batches as they come, up to `steps` to a launch; the next is made meanwhile.

    Batches of one size and one shape go together. One with fewer rows ends such a run;
    whatever else comes between is a run of its own in the same launch.

    Args:
        device: Module of the backend.
        read: Makes an iterator over batches for each pass.
        steps: Batches of a launch.
        limit: After how many batches a launch ends early, `None` for never.
        loose: Whether the dataset leaves the number of rows of its batches open.
    """

    def __init__(self, device, read, steps, limit=None, loose=True):
        self.device, self._read, self._steps = device, read, steps
        self._limit, self._loose = limit, loose
        self._size = None

    def __iter__(self):
        yield from ahead(self._launches())

    def _launches(self):
        batches, lengths = self._read(), [self._steps]
        if self._limit is not None:
            starts = range(0, self._limit, self._steps)
            lengths = [min(self._steps, self._limit - start) for start in starts]
        for length in itertools.cycle(lengths):
            taken = list(itertools.islice(batches, length))
            if not taken:
                return
            made = [self._linked(taken)]
            del taken
            yield made.pop()

    def _linked(self, batches):
        self._size = self._size or rows_of(batches[0])
        launch = None
        for run in reversed(runs(batches, self._size)):
            launch = self._launch(run)._replace(then=launch)
        return launch

    def _launch(self, run):
        size = self._size
        rest = 0 if rows_of(run[-1]) == size else rows_of(run[-1])
        full = len(run) - bool(rest)
        rows = size * self._steps if full else rest

        def join(*leaves):
            if leaves[0] is None:
                return None
            block = np.zeros((rows, *leaves[0].shape[1:]), leaves[0].dtype)
            np.concatenate(leaves, out=block[: full * size + rest])
            return block

        block = run[0] if not full else keras.tree.map_structure(join, *run)
        data = self.device.to_device(block)
        return Launch(data, None, 0, full, rest, self._loose, size)

    def close(self):
        """Nothing is held between launches."""


def runs(batches, size):
    """Cuts a list of batches into runs: some of `size` rows and one with fewer."""
    found = []
    for batch in batches:
        last = found[-1][-1] if found else None
        joins = (
            last is not None
            and rows_of(last) == size >= rows_of(batch)
            and inner_shapes(last) == inner_shapes(batch)
        )
        if joins:
            found[-1].append(batch)
        else:
            found.append([batch])
    return found


def inner_shapes(batch):
    """Shape of a row and type of each array."""
    leaves = keras.tree.flatten(batch)
    return [None if leaf is None else (leaf.shape[1:], leaf.dtype) for leaf in leaves]


def rows_of(batch):
    """Number of rows of a batch."""
    return max(len(leaf) for leaf in keras.tree.flatten(batch) if leaf is not None)


def ahead(iterator):
    """Yields from an iterator, the next item under way in a thread.

    No item is held on to while it is used: there are three at most, the one in use,
    the next, and the one being made when the next is asked for.
    """
    end = object()
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(next, iterator, end)
        while True:
            ready = [following.result()]
            if ready[0] is end:
                return
            following = pool.submit(next, iterator, end)
            yield ready.pop()


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
