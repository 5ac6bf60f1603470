"""Ways to make an `IndexedDataset` from files and from `tf.data`."""

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np

from keras_strategies.training._indexed.array_record import ArrayRecordFiles
from keras_strategies.training._indexed.image_directory import ImageDirectory
from keras_strategies.training._indexed.npz_shards import NpzShards
from keras_strategies.training._indexed.sources import SequenceSource
from keras_strategies.training._indexed.tf_data import tf_data_source
from keras_strategies.training._indexed.tfrecord import TFRecordFiles

Path: TypeAlias = str | os.PathLike[str]


class FromFiles:
    """The class methods of `IndexedDataset` that read files."""

    if TYPE_CHECKING:

        def __init__(self, *args: Any, **options: Any) -> None: ...

    @classmethod
    def from_directory(
        cls, directory: Path, image_size: tuple[int, int], **options: Any
    ) -> Self:
        """Returns a data set of images, a folder for each class.

        As `keras.utils.image_dataset_from_directory` has it: classes are numbered in
        the order of the names of their folders, images are `float32` in [0, 255] with
        three channels. An image is decoded when its batch is read.

        Args:
            directory: A folder with a folder of JPEG, PNG, BMP or WebP files for each
                class.
            image_size: Height and width to which images are resized.
            **options: Further arguments of `IndexedDataset`; `threads` is worth it.
        """
        return cls(SequenceSource(ImageDirectory(directory, image_size)), **options)

    @classmethod
    def from_tfrecord(
        cls,
        paths: Path | Sequence[Path],
        parse: Callable[[bytes], Any],
        transform: Callable[[Any, np.random.Generator], Any] | None = None,
        **options: Any,
    ) -> Self:
        """Returns a data set of the records in TFRecord files, without TensorFlow.

        The files are looked through once for where their records begin, which reads 12
        bytes a record; after that a batch reads its own records only.

        Args:
            paths: One file or several, uncompressed.
            parse: From the bytes of a record to a tuple or dict of arrays.
            transform: As in `IndexedDataset`, after `parse`. Defaults to `None`.
            **options: Further arguments of `IndexedDataset`.
        """
        source = SequenceSource(TFRecordFiles(paths, parse))
        return cls(source, transform=transform, **options)

    @classmethod
    def from_array_record(
        cls,
        paths: Path | Sequence[Path],
        parse: Callable[[bytes], Any],
        transform: Callable[[Any, np.random.Generator], Any] | None = None,
        **options: Any,
    ) -> Self:
        """Returns a data set of the records in ArrayRecord files.

        It needs the package `array_record`, the extra `array-record`. A file that is
        written with `group_size:1` is read by single records, others by groups.

        Args:
            paths: One file or several.
            parse: From the bytes of a record to a tuple or dict of arrays.
            transform: As in `IndexedDataset`, after `parse`. Defaults to `None`.
            **options: Further arguments of `IndexedDataset`.
        """
        source = SequenceSource(ArrayRecordFiles(paths, parse))
        return cls(source, transform=transform, **options)

    @classmethod
    def from_npz(
        cls, paths: Path | Sequence[Path], keys: Sequence[str], **options: Any
    ) -> Self:
        """Returns a data set of the arrays in `.npz` files, one file or many.

        The files are mapped, not loaded: they may be larger than the memory. They must
        be those of `numpy.savez`, as compressed ones cannot be read in parts.

        Args:
            paths: The files, in the order of their records.
            keys: Names of the arrays that make up a record, such as `("x", "y")`.
            **options: Further arguments of `IndexedDataset`.
        """
        return cls(NpzShards(paths, keys), **options)

    @classmethod
    def from_dataset(
        cls, dataset: Any, cache: Path | None = None, **options: Any
    ) -> Self:
        """Returns a data set of the elements of a `tf.data.Dataset`.

        It must be of known size, not batched and not shuffled. Where `tf.data` has
        random access (slices, ranges, maps, zips and so on) elements are computed when
        they are needed; others are written to files once, in `cache`.

        Args:
            dataset: The data set.
            cache: A folder for the elements of a data set without random access.
                Defaults to one that is removed with the process.
            **options: Further arguments of `IndexedDataset`.
        """
        return cls(tf_data_source(dataset, cache), **options)
