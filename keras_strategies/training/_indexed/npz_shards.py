"""Arrays in `.npz` files, mapped instead of loaded."""

import os
import pathlib
import struct
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_strategies._internal import checks

# The fixed part of a local file header of the ZIP format (APPNOTE 4.3.7).
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")


def map_array(path: pathlib.Path, key: str) -> np.ndarray:
    """Returns a read-only map of one array of an uncompressed `.npz` file."""
    with zipfile.ZipFile(path) as archive:
        try:
            entry = archive.getinfo(f"{key}.npy")
        except KeyError:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            checks.fail(
                f"{path} has no such array", keys=names, key=key, error=KeyError
            )
    if entry.compress_type != zipfile.ZIP_STORED:
        checks.fail(
            f"{path} is compressed and cannot be read in parts",
            fix="Write it by numpy.savez.",
            key=key,
        )
    with path.open("rb") as file:
        file.seek(entry.header_offset)
        *_, name, extra = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
        file.seek(name + extra, os.SEEK_CUR)
        version = np.lib.format.read_magic(file)
        read = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, fortran, dtype = read(file)
        offset = file.tell()
    if dtype.hasobject:
        checks.fail(f"{path} holds Python objects", key=key)
    order = "F" if fortran else "C"
    if 0 in shape:
        return np.empty(shape, dtype)
    return np.memmap(path, dtype, "r", offset, shape, order)


class NpzShards:
    """A source of the rows of arrays that are spread over files."""

    def __init__(
        self,
        paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        keys: Sequence[str],
    ):
        several = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
        if not several or not keys:
            checks.fail(
                "`paths` and `keys` must name something", paths=paths, keys=keys
            )
        self._keys = tuple(keys)
        self._shards = [
            tuple(map_array(pathlib.Path(path), key) for key in keys)
            for path in several
        ]
        for path, arrays in zip(several, self._shards, strict=True):
            sizes = {len(array) for array in arrays}
            if len(sizes) != 1:
                checks.fail(
                    f"The arrays of {path} must have the same number of records",
                    sizes=sorted(sizes),
                )
        sizes = [len(arrays[0]) for arrays in self._shards]
        self._ends = np.cumsum(sizes)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def _locate(self, records):
        shards = np.searchsorted(self._ends, records, side="right")
        begins = np.concatenate([[0], self._ends[:-1]])
        return shards, records - begins[shards]

    def batch(self, records: np.ndarray) -> Any:
        """Returns the rows of these numbers."""
        shards, rows = self._locate(np.asarray(records))
        arrays = []
        for index in range(len(self._keys)):
            first = self._shards[0][index]
            batch = np.empty((len(rows), *first.shape[1:]), first.dtype)
            for shard in np.unique(shards):
                chosen = shards == shard
                batch[chosen] = self._shards[shard][index][rows[chosen]]
            arrays.append(batch)
        return tuple(arrays)

    def records(self, records: np.ndarray) -> list[Any]:
        """Returns the rows of these numbers one by one."""
        arrays = self.batch(records)
        return [tuple(array[i] for array in arrays) for i in range(len(records))]

    def signature(self) -> dict[str, Any]:
        """Returns the names, shapes and types of the arrays."""
        return {
            "arrays": [
                [key, [len(self), *array.shape[1:]], str(array.dtype)]
                for key, array in zip(self._keys, self._shards[0], strict=True)
            ]
        }
