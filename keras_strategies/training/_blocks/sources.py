"""Sources of blocks: arrays on the device, arrays on the host, or a stream."""

import itertools
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import keras
import numpy as np

from keras_strategies.training._blocks.prefetch import prefetch
from keras_strategies.training._blocks.row_order import RowOrder
from keras_strategies.training._data.arrays import Arrays, num_rows
from keras_strategies.training._data.dataset import Dataset
from keras_strategies.training._launches.step_block import BlockSplit, StepBlock


def block_source(
    data: Arrays | Dataset,
    device: ModuleType,
    steps: int,
    *,
    on_device: bool = False,
    order: RowOrder | None = None,
    limit: int | None = None,
    capacity: int | None = None,
) -> "DeviceSource | HostSource | StreamSource":
    """Returns an iterable of the blocks of `data`, a new epoch at each iteration.

    Args:
        data: The data.
        device: Module of the backend.
        steps: Batches of a block.
        on_device: Whether arrays stay on the device.
        order: Order of the rows of arrays, `None` for the rows as they are.
        limit: For arrays the number of batches in an epoch; for a dataset after how
            many batches a block ends early. `None` for all.
        capacity: Rows that arrays on the device are padded to, or those of a block on
            the host. Defaults to `None`: as few as there are.
    """
    if data.nbytes is None:
        return StreamSource(device, data.read, steps, limit, data.varies)
    split = BlockSplit(data.rows, data.batch_size, steps, limit)
    kind = DeviceSource if on_device else HostSource
    return kind(device, data.arrays, split, order, capacity)


class DeviceSource:
    """All rows on the device; each epoch has a new order there."""

    def __init__(
        self,
        device: ModuleType,
        arrays: Any,
        split: BlockSplit,
        order: RowOrder | None = None,
        capacity: int | None = None,
    ):
        self.device, self.split, self.order = device, split, order
        self._capacity = max(capacity or 0, split.rows)
        self.data = device.to_device(padded_rows(arrays, self._capacity))
        self._epochs = 0

    def __iter__(self) -> Iterator[StepBlock]:
        epoch, self._epochs = self._epochs, self._epochs + 1
        order = None
        if self.order is not None:
            order = self._padded_order(epoch)
        for first, full, partial in self.split.blocks():
            yield StepBlock(
                self.data,
                order,
                first,
                full,
                partial,
                self.split.dynamic_batch,
                self.split.batch_size,
            )

    def _padded_order(self, epoch):
        order = self.order(self.device, self.split, epoch)
        if self._capacity == self.split.rows:
            return order
        # By NumPy: a new number of rows is nothing new to it.
        return self.device.to_device(padded_rows(np.asarray(order), self._capacity))

    def close(self) -> None:
        """Frees the memory of the device."""
        self.data = None


class HostSource:
    """The rows of one block at a time on the device; the next block is prefetched."""

    def __init__(
        self,
        device: ModuleType,
        arrays: Any,
        split: BlockSplit,
        order: RowOrder | None = None,
        capacity: int | None = None,
    ):
        self.device, self.split, self.order = device, split, order
        self.arrays, self._capacity = arrays, capacity
        self._epochs = 0

    def __iter__(self) -> Iterator[StepBlock]:
        epoch, self._epochs = self._epochs, self._epochs + 1
        order = None
        if self.order is not None:
            order = np.asarray(self.order(self.device, self.split, epoch))
        blocks = self.split.blocks()
        yield from prefetch(self._block(order, *block) for block in blocks)

    def _block(self, order, first, full, partial):
        size = self.split.batch_size
        begin, count = first * size, full * size + partial
        rows = slice(begin, begin + count)
        # Padded to one shape for all blocks: XLA compiles a program for each shape.
        padded = min(self.split.steps, self.split.rows // size) * size
        if not full:
            padded = count
        if self._capacity is not None:
            padded = max(self._capacity, count)

        def cut(leaf):
            if leaf is None:
                return None
            values = leaf[rows] if order is None else leaf[order[rows]]
            return padded_rows(values, padded)

        data = self.device.to_device(keras.tree.map_structure(cut, self.arrays))
        return StepBlock(data, None, 0, full, partial, self.split.dynamic_batch, size)

    def close(self) -> None:
        """Nothing remains in memory between blocks."""


def padded_rows(arrays: Any, rows: int) -> Any:
    """Returns arrays with zeros in so many rows, those that have enough as they are."""

    def pad(leaf):
        if leaf is None or len(leaf) >= rows:
            return leaf
        block = np.zeros((rows, *leaf.shape[1:]), leaf.dtype)
        block[: len(leaf)] = leaf
        return block

    return keras.tree.map_structure(pad, arrays)


class StreamSource:
    """Batches of a dataset, up to `steps` in a block; the next block is prefetched.

    Batches of one size and one shape form a run. A batch with fewer rows ends a run; a
    batch of another shape begins a new one. The runs of a block are linked by
    `next_block`.

    Args:
        device: Module of the backend.
        read: Returns an iterator over the batches of an epoch.
        steps: Batches of a block.
        limit: After how many batches a block ends early, `None` for never.
        dynamic_batch: Whether the dataset leaves the number of rows of batches open.
    """

    def __init__(
        self,
        device: ModuleType,
        read: Callable[[], Iterator[Any]],
        steps: int,
        limit: int | None = None,
        dynamic_batch: bool = True,
    ):
        self.device, self._read, self._steps = device, read, steps
        self._limit, self._dynamic_batch = limit, dynamic_batch
        self._batch_size = None

    def __iter__(self) -> Iterator[StepBlock]:
        yield from prefetch(self._blocks())

    def _blocks(self):
        batches, lengths = self._read(), [self._steps]
        if self._limit is not None:
            # Keras ends an epoch after `limit` batches: no block may reach beyond. The
            # lengths repeat, as the next epoch continues in the dataset.
            starts = range(0, self._limit, self._steps)
            lengths = [min(self._steps, self._limit - start) for start in starts]
        for length in itertools.cycle(lengths):
            read = list(itertools.islice(batches, length))
            if not read:
                return
            # A list, as a name would refer to the block while it is used.
            made = [self._linked_runs(read)]
            del read
            yield made.pop()

    def _linked_runs(self, batches):
        self._batch_size = self._batch_size or num_rows(batches[0])
        block = None
        # From the last to the first, as each block refers to its next one.
        for run in reversed(runs(batches, self._batch_size)):
            block = self._block(run)._replace(next_block=block)
        return block

    def _block(self, run):
        size = self._batch_size
        partial = 0 if num_rows(run[-1]) == size else num_rows(run[-1])
        full = len(run) - bool(partial)
        # Padded to one shape for all blocks: XLA compiles a program for each shape.
        rows = size * self._steps if full else partial

        def join(*leaves):
            if leaves[0] is None:
                return None
            block = np.zeros((rows, *leaves[0].shape[1:]), leaves[0].dtype)
            np.concatenate(leaves, out=block[: full * size + partial])
            return block

        block = run[0] if not full else keras.tree.map_structure(join, *run)
        data = self.device.to_device(block)
        return StepBlock(data, None, 0, full, partial, self._dynamic_batch, size)

    def close(self) -> None:
        """Nothing remains in memory between blocks."""


def runs(batches: list[Any], size: int) -> list[list[Any]]:
    """Splits a list of batches into runs: some of `size` rows and one with fewer."""
    result = []
    for batch in batches:
        last = result[-1][-1] if result else None
        continues = (
            last is not None
            and num_rows(last) == size >= num_rows(batch)
            and _row_types(last) == _row_types(batch)
        )
        if continues:
            result[-1].append(batch)
        else:
            result.append([batch])
    return result


def _row_types(batch):
    """Shape of a row and dtype of each array."""
    leaves = keras.tree.flatten(batch)
    return [None if leaf is None else (leaf.shape[1:], leaf.dtype) for leaf in leaves]
