"""Records of TFRecord files by their numbers.

A record is its length (8 bytes, little endian), a checksum of that, its bytes and a
checksum of those: https://www.tensorflow.org/tutorials/load_data/tfrecord. The files
have no index; one pass over the lengths makes it.
"""

import os
import pathlib
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_strategies._internal import checks
from keras_strategies.training._indexed.record_files import checked_paths

_LENGTH, _CHECKSUM = struct.Struct("<Q"), 4
_POLYNOMIAL = 0x82F63B78  # CRC-32C (Castagnoli), reversed


def _table():
    values = np.arange(256, dtype="uint32")
    for _ in range(8):
        values = (values >> 1) ^ np.where(values & 1, np.uint32(_POLYNOMIAL), 0).astype(
            "uint32"
        )
    return values


def masked_checksums(lengths: np.ndarray) -> np.ndarray:
    """Returns the checksums that TFRecord files have of these 64-bit lengths."""
    table = _table()
    crc = np.full(len(lengths), 0xFFFFFFFF, "uint32")
    for octet in lengths.astype("<u8").view("uint8").reshape(-1, 8).T:
        crc = table[(crc ^ octet) & 0xFF] ^ (crc >> np.uint32(8))
    crc ^= np.uint32(0xFFFFFFFF)
    rotated = (crc >> np.uint32(15)) | (crc << np.uint32(17))
    return (rotated.astype("uint64") + 0xA282EAD8).astype("uint32")


class TFRecordFiles:
    """A sequence of parsed records that reads each when it is asked for."""

    def __init__(
        self,
        paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        parse: Callable[[bytes], Any],
    ):
        several = checked_paths(paths, parse)
        self._parse = parse
        self._paths = [pathlib.Path(path) for path in several]
        indices = [_index(path) for path in self._paths]
        self._offsets = np.concatenate([offsets for offsets, _ in indices])
        self._lengths = np.concatenate([lengths for _, lengths in indices])
        counts = [len(offsets) for offsets, _ in indices]
        self._files = np.repeat(np.arange(len(counts)), counts)

    def __len__(self) -> int:
        return len(self._offsets)

    def __getitem__(self, index: int) -> Any:
        path, size = self._paths[self._files[index]], int(self._lengths[index])
        with path.open("rb", buffering=0) as file:
            file.seek(int(self._offsets[index]))
            content = file.read(size)
        if len(content) != size:
            checks.fail(f"{path} has become shorter", record=index)
        return self._parse(content)

    def signature(self) -> dict[str, Any]:
        """Returns how much there is to read."""
        return {"bytes": int(self._lengths.sum())}


def _index(path):
    """Offsets and lengths of the records of one file."""
    offsets, lengths, checksums = [], [], []
    size, position = path.stat().st_size, 0
    header = _LENGTH.size + _CHECKSUM
    with path.open("rb") as file:
        while position < size:
            file.seek(position)
            start = file.read(header)
            if len(start) < header:
                _fail(path, position)
            (length,) = _LENGTH.unpack(start[: _LENGTH.size])
            offsets.append(position + header)
            lengths.append(length)
            checksums.append(int.from_bytes(start[_LENGTH.size :], "little"))
            position += header + length + _CHECKSUM
            if position > size:
                _fail(path, offsets[-1] - header)
    lengths = np.array(lengths, "uint64")
    wrong = np.flatnonzero(masked_checksums(lengths) != np.array(checksums, "uint32"))
    if len(wrong):
        _fail(path, offsets[wrong[0]] - header)
    return np.array(offsets, "int64"), lengths.astype("int64")


def _fail(path, position):
    checks.fail(
        f"{path} is damaged, compressed or no TFRecord file",
        fix="Compressed files cannot be read by record: write them uncompressed.",
        position=position,
    )
