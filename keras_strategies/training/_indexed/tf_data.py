"""Elements of a `tf.data.Dataset` by their numbers."""

import os
import pathlib
import tempfile
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies.training._indexed.sources import (
    ArraySource,
    RecordSource,
    SequenceSource,
)


def tf_data_source(dataset: Any, cache: str | os.PathLike[str] | None) -> RecordSource:
    """Returns a source of its elements: computed when needed, or written to files."""
    import tensorflow as tf

    if not isinstance(dataset, tf.data.Dataset):
        checks.fail(
            "`dataset` must be a tf.data.Dataset", error=TypeError, dataset=dataset
        )
    size = int(dataset.cardinality())
    if size < 0:
        checks.fail(
            "`dataset` must be of known size",
            fix="If you know it, say so: dataset.apply("
            "tf.data.experimental.assert_cardinality(n)).",
            cardinality="infinite" if size == -1 else "unknown",
        )
    try:
        tf.data.experimental.at(dataset, 0)
    except (tf.errors.UnimplementedError, tf.errors.InvalidArgumentError):
        return ArraySource(_written(dataset, size, cache))
    return SequenceSource(_RandomAccess(dataset, size))


class _RandomAccess:
    """The elements through `tf.data.experimental.at`."""

    def __init__(self, dataset, size):
        self._dataset, self._size = dataset, size

    def __len__(self):
        return self._size

    def __getitem__(self, index):
        import tensorflow as tf

        element = tf.data.experimental.at(self._dataset, index)
        return keras.tree.map_structure(lambda leaf: leaf.numpy(), element)

    def signature(self):
        spec = keras.tree.flatten(self._dataset.element_spec)
        return {"elements": [[list(s.shape), s.dtype.name] for s in spec]}


def _written(dataset, size, cache):
    """Memory maps of arrays of all elements, written one element at a time."""
    for spec in keras.tree.flatten(dataset.element_spec):
        if not spec.shape.is_fully_defined() or not spec.dtype.is_numpy_compatible:
            checks.fail(
                "Elements of a data set without random access must be tensors of known "
                "shape",
                fix="Decode, resize and pad before, and batch by IndexedDataset.",
                element_spec=str(dataset.element_spec),
            )
    if cache is None:
        holder = tempfile.TemporaryDirectory(prefix="indexed-dataset-")
        folder = pathlib.Path(holder.name)
    else:
        holder, folder = None, pathlib.Path(cache)
        folder.mkdir(parents=True, exist_ok=True)
    specs = keras.tree.flatten(dataset.element_spec)
    maps = [
        np.lib.format.open_memmap(
            folder / f"{i}.npy", "w+", spec.dtype.as_numpy_dtype, (size, *spec.shape)
        )
        for i, spec in enumerate(specs)
    ]
    count = 0
    for count, element in enumerate(dataset.as_numpy_iterator(), 1):
        for array, leaf in zip(maps, keras.tree.flatten(element), strict=True):
            array[count - 1] = leaf
    if count != size:
        checks.fail("`dataset` has fewer elements than it says", elements=count)
    for array in maps:
        array.flush()
    packed = keras.tree.pack_sequence_as(dataset.element_spec, maps)
    return _Kept(holder, packed).arrays


class _Kept:
    """Arrays of a folder that is removed when the process ends."""

    folders: list[Any] = []

    def __init__(self, holder, arrays):
        self.arrays = arrays
        if holder is not None:
            self.folders.append(holder)
