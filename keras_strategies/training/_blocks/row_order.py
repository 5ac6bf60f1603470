"""Orders of the rows of an epoch, made on the device."""

from collections.abc import Callable
from typing import Any

import numpy as np

from keras_strategies._internal.keras_private.step_blocks import row_orders_of_fit
from keras_strategies.training._launches.step_block import BlockSplit

#: `(device module, split, number of the epoch) -> device vector of row numbers`.
RowOrder = Callable[[Any, BlockSplit, int], Any]


def shuffled(seed: int) -> RowOrder:
    """Returns the order in which all rows are shuffled in each epoch."""

    def order(device, split, epoch):
        return device.permutation(split.rows, seed, epoch)

    return order


def shuffled_in_batches(seed: int) -> RowOrder:
    """Returns the order for `shuffle="batch"`: rows change places within a batch."""

    def order(device, split, epoch):
        rng = np.random.default_rng([seed, epoch])
        batch = np.arange(split.rows) // split.batch_size
        # Sorted by batch, and within each batch by a random number.
        rows = np.lexsort((rng.random(split.rows), batch))
        return device.to_device(rows.astype(np.int32))

    return order


def as_plain_fit(rows: int, batch_size: int, shuffle: Any) -> RowOrder:
    """Returns the orders that plain `fit` would draw, from the generators it uses."""
    orders = row_orders_of_fit(rows, batch_size, shuffle)

    def order(device, split, epoch):
        return device.to_device(next(orders))

    return order
