"""What `fit` is given: arrays, or a dataset that comes in batches."""

import itertools

import keras

from keras_strategies._internal.keras_private.launches import (
    are_arrays,
    batch_adapter,
    batch_specification,
    first_batch,
    packed_arrays,
    unpacked,
)
from keras_strategies.training._launches import (
    Blocks,
    Cuts,
    Resident,
    Stream,
    number_of_batches,
    row_bytes,
    rows_of,
)
from keras_strategies.training._specification import describe

# So many batches stand for an epoch of data without a known end.
UNKNOWN = 128


class Arrays:
    """Arrays, which `fit` cuts into batches.

    Attributes:
        adapter: Keras's adapter, whose epochs begin and end with ours; none here.
        nbytes: Bytes of everything.
        batch_bytes: Bytes of one batch.
        batches: Number of batches, the partial one included.
    """

    adapter = None

    def __init__(self, arrays, rows, batch_size):
        self.arrays, self.rows, self.batch_size = arrays, rows, batch_size
        self.batches = number_of_batches(rows, batch_size)
        leaves = keras.tree.flatten(arrays)
        self.nbytes = sum(leaf.nbytes for leaf in leaves if leaf is not None)
        self.batch_bytes = row_bytes(arrays) * min(batch_size, rows)

    @property
    def description(self):
        return describe(self.arrays, "arrays")

    @property
    def head(self):
        """The first batch, or what there is of it."""
        return first_rows(self.arrays, self.batch_size)

    def cut(self, steps):
        """The same without what is behind `steps` batches."""
        limits = [n for n in (steps, keras.config.max_steps_per_epoch()) if n]
        if not limits or min(limits) * self.batch_size >= self.rows:
            return self
        rows = min(limits) * self.batch_size
        return Arrays(first_rows(self.arrays, rows), rows, self.batch_size)

    def source(self, device, steps, resident=False, order=None, limit=None):
        cuts = Cuts(self.rows, self.batch_size, steps, limit)
        kind = Resident if resident else Blocks
        return kind(device, self.arrays, cuts, order)


class Dataset:
    """A `tf.data.Dataset` or a `PyDataset`.

    Attributes:
        adapter: Keras's adapter for it.
        nbytes: None: not known.
        batches: Number of batches, `None` if it is not known.
        specification: A structure of `KerasTensor`, `None` if batches are not dense.
        is_fixed: Whether all batches are dense, of numbers, and of one shape but for
            the number of rows.
    """

    nbytes = None

    def __init__(self, x, class_weight=None, shuffle=False):
        self._x, self.adapter = x, batch_adapter(x, class_weight, shuffle)
        self.batches = self.adapter.num_batches
        self.specification, self._varies = batch_specification(self.adapter)
        leaves = keras.tree.flatten(self.specification)
        self.is_fixed = self.specification is not None and all(
            leaf is None or (None not in leaf.shape[1:] and leaf.dtype != "string")
            for leaf in leaves
        )
        self.head = self.batch_size = self.batch_bytes = self._first_pass = None

    @property
    def description(self):
        return describe(self.specification, "batches")

    def open(self):
        """Reads the first batch, and whether there is one."""
        if isinstance(self._x, keras.utils.PyDataset):
            self.head = first_batch(self.adapter)
        else:
            batches = iter(self.adapter.get_numpy_iterator())
            self.head = next(batches, None)
            # To iterate anew would change the order of a shuffled dataset.
            self._first_pass = itertools.chain([self.head], batches)
        if self.head is None:
            return False
        self.batch_size = rows_of(self.head)
        self.batch_bytes = row_bytes(self.head) * self.batch_size
        if not self.is_fixed:
            self.head = self.specification
        return True

    def read(self):
        """An iterator over the batches; the first one has what `open` has read."""
        batches, self._first_pass = self._first_pass, None
        return iter(self.adapter.get_numpy_iterator()) if batches is None else batches

    def source(self, device, steps, limit=None):
        return Stream(device, self.read, steps, limit, self._varies)


class Sample:
    """What `accelerate` is given, to measure on.

    Attributes:
        given: `(x, y, sample_weight)`.
        is_dataset: Whether `x` is a dataset.
        batches: Number of batches that an epoch is taken to have.
        known: The same if all the data have so many, else `None`.
        data: `Arrays`, or an opened `Dataset`.
    """

    def __init__(self, given, data):
        self.given, self.data = given, data
        self.is_dataset = data.nbytes is None
        self.batches = self.known = data.batches
        if self.batches is None:
            # The first of them was read already.
            self.batches = sum(1 for _ in itertools.islice(data.read(), UNKNOWN))

    def part(self, steps):
        """`((x, y, sample_weight), steps)` for a call on some batches only."""
        if self.is_dataset:
            return self.given, min(steps, self.batches)
        return unpacked(
            first_rows(self.data.arrays, steps * self.data.batch_size)
        ), None


def given_arrays(x, y, sample_weight, batch_size, class_weight=None, steps=None):
    """`Arrays` from arguments of `fit`, `None` if they are others or not dense."""
    if not are_arrays(x, y, sample_weight):
        return None
    arrays, rows, batch_size = packed_arrays(
        x, y, sample_weight, batch_size, class_weight, steps
    )
    return None if arrays is None else Arrays(arrays, rows, batch_size)


def first_rows(arrays, rows):
    return keras.tree.map_structure(
        lambda leaf: None if leaf is None else leaf[:rows], arrays
    )
