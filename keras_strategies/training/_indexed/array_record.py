"""Records of ArrayRecord files by their numbers.

These files have an index of their own: https://github.com/google/array_record.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.optional import require
from keras_strategies.training._indexed.record_files import checked_paths

# A chunk that is read ahead would be thrown away: records are asked for in any order.
_OPTIONS = "readahead_buffer_size:0,max_parallelism:0"


class ArrayRecordFiles:
    """A sequence of parsed records that reads each when it is asked for."""

    def __init__(
        self,
        paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        parse: Callable[[bytes], Any],
    ):
        several = checked_paths(paths, parse)
        purpose = "`IndexedDataset.from_array_record`"
        module = require("array_record.python.array_record_module", purpose)
        self._parse = parse
        self._readers = [_reader(module, os.fspath(path)) for path in several]
        counts = [reader.num_records() for reader in self._readers]
        self._ends = np.cumsum(counts)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> Any:
        file = int(np.searchsorted(self._ends, index, side="right"))
        first = self._ends[file - 1] if file else 0
        (content,) = self._readers[file].read([int(index - first)])
        return self._parse(content)

    def signature(self) -> dict[str, Any]:
        """Returns how many records each file has."""
        return {"records": np.diff(self._ends, prepend=0).tolist()}


def _reader(module, path):
    if not os.path.exists(path):
        raise FileNotFoundError(f"No such ArrayRecord file: {path!r}.")
    reader = module.ArrayRecordReader(path, _OPTIONS)
    # It reads on after an error, and has no record then.
    if not reader.ok() or not reader.num_records():
        checks.fail(f"{path} is damaged, empty or no ArrayRecord file", path=path)
    return reader
