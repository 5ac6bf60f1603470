"""Datasets, which come in batches."""

import itertools
from collections.abc import Iterator
from typing import Any

import keras

from keras_strategies._internal.keras_private.step_blocks import (
    batch_adapter,
    batch_specification,
    first_batch,
)
from keras_strategies.training._data.arrays import num_rows, row_bytes
from keras_strategies.training._data.description import describe


class Dataset:
    """A `tf.data.Dataset` or a `PyDataset` as data of `fit`.

    Attributes:
        adapter: Keras's adapter, whose epoch hooks are to be called.
        nbytes: `None`: not known.
        batches: Number of batches, `None` if it is not known.
        specification: A structure of `KerasTensor`, `None` if batches are not dense.
        varies: Whether the dataset leaves the number of rows of its batches open.
        is_fixed: Whether all batches are dense, numeric, and of one shape except for
            the number of rows.
    """

    nbytes = None

    def __init__(
        self,
        x: Any,
        class_weight: dict[int, float] | None = None,
        shuffle: bool | str = False,
    ):
        self._x, self.adapter = x, batch_adapter(x, class_weight, shuffle)
        self.batches = self.adapter.num_batches
        self.specification, self.varies = batch_specification(self.adapter)
        leaves = keras.tree.flatten(self.specification)
        self.is_fixed = self.specification is not None and all(
            leaf is None or (None not in leaf.shape[1:] and leaf.dtype != "string")
            for leaf in leaves
        )
        self.head = self.batch_size = self.batch_bytes = self._first_pass = None

    @property
    def description(self) -> dict[str, Any]:
        return describe(self.specification, "batches")

    def open(self) -> bool:
        """Reads the first batch; returns whether there is one."""
        if isinstance(self._x, keras.utils.PyDataset):
            self.head = first_batch(self.adapter)
        else:
            batches = iter(self.adapter.get_numpy_iterator())
            self.head = next(batches, None)
            # A second iteration would change the order of a shuffled dataset.
            self._first_pass = itertools.chain([self.head], batches)
        if self.head is None:
            return False
        self.batch_size = num_rows(self.head)
        self.batch_bytes = row_bytes(self.head) * self.batch_size
        if not self.is_fixed:
            self.head = self.specification
        return True

    def read(self) -> Iterator[Any]:
        """Returns an iterator over the batches; the first includes that of `open`."""
        batches, self._first_pass = self._first_pass, None
        return iter(self.adapter.get_numpy_iterator()) if batches is None else batches
