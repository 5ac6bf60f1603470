"""Where records come from: each kind has a length and gives a batch of records.

A source is any object with `len` and `batch(records)`: a nest of arrays with the
records in that order. Nothing else is read than what is asked for.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import keras
import numpy as np

from keras_strategies._internal import checks


class RecordSource(Protocol):
    """What `IndexedDataset` reads from."""

    def __len__(self) -> int:
        """Returns the number of records."""
        ...

    def batch(self, records: np.ndarray) -> Any:
        """Returns the records of these numbers, stacked, in this order."""
        ...

    def records(self, records: np.ndarray) -> list[Any]:
        """Returns the records of these numbers one by one, in this order."""
        ...

    def signature(self) -> dict[str, Any]:
        """Returns what must be the same for a training to go on."""
        ...


class ArraySource:
    """Arrays in memory or in a mapped file, cut along their first axis."""

    def __init__(self, arrays: Any):
        if isinstance(arrays, list):
            arrays = tuple(arrays)
        self._arrays = keras.tree.map_structure(_as_sliceable, arrays)
        sizes = {int(len(leaf)) for leaf in keras.tree.flatten(self._arrays)}
        if len(sizes) != 1:
            checks.fail(
                "All arrays of `source` must have the same number of records",
                sizes=sorted(sizes),
            )
        (self._size,) = sizes

    def __len__(self) -> int:
        return self._size

    def batch(self, records: np.ndarray) -> Any:
        """Returns the rows of these numbers."""
        return keras.tree.map_structure(
            lambda leaf: np.asarray(leaf[records]), self._arrays
        )

    def records(self, records: np.ndarray) -> list[Any]:
        """Returns the rows of these numbers one by one."""
        return [
            keras.tree.map_structure(lambda leaf, i=i: leaf[i], self._arrays)
            for i in records
        ]

    def signature(self) -> dict[str, Any]:
        """Returns shapes and types."""
        return {
            "arrays": [
                [list(leaf.shape), str(leaf.dtype)]
                for leaf in keras.tree.flatten(self._arrays)
            ]
        }


def _as_sliceable(leaf):
    # Memory maps stay on the disk: `np.asarray` of one is a view of it.
    return np.asarray(leaf)


class SequenceSource:
    """An object with `len` and `[i]`: of a list, of Torch's data sets, of Grain's."""

    def __init__(self, sequence: Any):
        self._sequence = sequence

    def __len__(self) -> int:
        return len(self._sequence)

    def records(self, records: np.ndarray) -> list[Any]:
        """Returns the items of these numbers one by one."""
        return [self._sequence[int(i)] for i in records]

    def batch(self, records: np.ndarray) -> Any:
        """Returns the items of these numbers, stacked."""
        return stack(self.records(records))

    def signature(self) -> dict[str, Any]:
        """Returns the class and the number of items."""
        described = getattr(self._sequence, "signature", None)
        more: Any = described() if callable(described) else {}
        return {
            "class": type(self._sequence).__name__,
            "records": len(self),
            **dict(more),
        }


def stack(records: Sequence[Any]) -> Any:
    """Returns one nest of arrays from single records: tuples or dicts of arrays.

    A list in a record is an array, as are numbers.
    """
    first = records[0]
    if isinstance(first, dict):
        return {key: stack([record[key] for record in records]) for key in first}
    if isinstance(first, tuple):
        return tuple(stack(column) for column in zip(*records, strict=True))
    return np.stack([np.asarray(record) for record in records])


def as_source(source: Any) -> RecordSource:
    """Returns the source that reads from what a user gives as `source`."""
    if all(hasattr(source, name) for name in ("batch", "records", "signature")):
        return source
    if isinstance(source, np.ndarray) or keras.ops.is_tensor(source):
        return ArraySource((source,))
    if isinstance(source, tuple | dict):
        return ArraySource(source)
    if hasattr(source, "__getitem__") and hasattr(source, "__len__"):
        return SequenceSource(source)
    return checks.fail(
        "`source` must be arrays, or an object with `len(source)` and `source[i]`",
        fix="For files see IndexedDataset.from_directory, from_tfrecord, "
        "from_array_record, from_npz and from_dataset.",
        error=TypeError,
        source=type(source).__name__,
    )
