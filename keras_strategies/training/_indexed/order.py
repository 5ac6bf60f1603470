"""The order of records as a pure function of seed and epoch, and their random numbers.

Philox is a counter-based generator (Salmon et al., 2011, "Parallel random numbers: as
easy as 1, 2, 3"): its stream is a function of a key and a counter, so that any epoch
and any record is reached without going through those before it. The key is (seed,
epoch); the highest word of the counter parts the permutation (0) from the records (1),
and the next word is the number of the record, so that no two of them overlap.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np


def permutation(seed: int, epoch: int, size: int) -> np.ndarray:
    """Returns the order of `size` records in one epoch."""
    generator = np.random.Generator(np.random.Philox(key=[seed, epoch]))
    return generator.permutation(size)


def rows_of_batch(
    step: int, batch_size: int, size: int, shard_index: int, num_shards: int
) -> np.ndarray:
    """Returns positions within the order of the records of one batch.

    A shard takes every `num_shards`-th record of a batch: all shards together have the
    very records that one of one would have, at the same step.
    """
    begin = step * batch_size
    end = min(begin + batch_size, size)
    return np.arange(begin + shard_index, end, num_shards)


def record_generators(
    seed: int, epoch: int, records: Iterable[Any]
) -> Iterator[np.random.Generator]:
    """Yields a generator for each record, the same whatever batch it is in.

    One generator is given other counters, which is quicker than new ones: use it before
    the next is taken.
    """
    philox = np.random.Philox(key=[seed, epoch])
    generator, state = np.random.Generator(philox), philox.state
    for record in records:
        state["state"]["counter"] = np.array([0, 0, int(record), 1], "uint64")
        philox.state = state
        yield generator
