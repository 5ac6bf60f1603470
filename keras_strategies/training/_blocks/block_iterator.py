"""Blocks as data of Keras's loops in `fit`, `evaluate` and `predict`."""

import collections
from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_strategies.training._blocks.backend import is_jax
from keras_strategies.training._launches.step_block import StepBlock

_TOKEN = "keras_strategies_block"


class BlockIterator:
    """Iterable of epochs over a source, which Keras's loops take as data.

    On TensorFlow an epoch yields the blocks. `predict` expects one item per batch
    there: with `fillers` each block is followed by a filler for each of its other
    batches. On JAX the loop moves every item to the device, perhaps before it is
    needed: there an epoch yields tokens, and `block` returns the block of a token.
    """

    def __init__(self, source: Any, fillers: bool = False):
        self._source, self._fillers, self._epochs = source, fillers, []
        self._pending = {}  # {number of the epoch: its blocks whose tokens are out}

    def __iter__(self) -> "Iterator[Any]":
        number = len(self._epochs)
        self._epochs.append(iter(self._source))
        if is_jax():
            return self._tokens(number)
        return EpochIterator(self._epochs[-1], self._fillers)

    def _tokens(self, number):
        pending = self._pending[number] = collections.deque()
        token = {_TOKEN: np.full((1,), number, np.int32)}
        for block in self._epochs[number]:
            pending.append(block)
            del block  # or its data would stay in memory until the next is made
            yield token

    def block(self, token: dict[str, Any]) -> StepBlock:
        """Returns the next block of the epoch that a token stands for."""
        return self._pending[int(token[_TOKEN][0])].popleft()

    def close(self) -> None:
        """Ends every epoch and frees its memory."""
        for blocks in self._epochs:
            blocks.close()
        self._epochs, self._pending = [], {}
        self._source.close()


def is_token(item: Any) -> bool:
    """Whether an item of Keras's loop stands for a block."""
    return isinstance(item, dict) and _TOKEN in item


class EpochIterator:
    """The blocks of one epoch, each with its fillers."""

    def __init__(self, blocks: Iterator[StepBlock], fillers: bool):
        self._blocks, self._fillers, self._remaining = blocks, fillers, 0

    def __iter__(self) -> "EpochIterator":
        return self

    def __next__(self) -> StepBlock | None:
        if self._remaining:
            self._remaining -= 1
            return None
        block = next(self._blocks)
        if self._fillers:
            self._remaining = block.batches - 1
        return block
