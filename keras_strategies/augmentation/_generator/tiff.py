"""Which TIFF files store numbers of 32 or 64 bits, whose range is their own."""

import struct
from typing import BinaryIO

_BITS_PER_SAMPLE = 258
_SHORT, _LONG = 3, 4


def has_wide_samples(file: BinaryIO) -> bool:
    """Returns whether a file is a TIFF of integers or floats of 32 bits or more."""
    start = file.read(8)
    byte_order = {b"II*\0": "<", b"MM\0*": ">"}.get(start[:4])
    if byte_order is None or len(start) < 8:
        return False
    # A directory of entries: tag, type, count, value (or its offset if it is longer).
    file.seek(struct.unpack(f"{byte_order}L", start[4:])[0])
    count = file.read(2)
    if len(count) < 2:
        return False
    for _ in range(struct.unpack(f"{byte_order}H", count)[0]):
        entry = file.read(12)
        if len(entry) < 12:
            return False
        tag, kind, number = struct.unpack(f"{byte_order}HHL", entry[:8])
        if tag != _BITS_PER_SAMPLE:
            continue
        if kind == _SHORT and number > 2:  # the value of each channel is elsewhere
            file.seek(struct.unpack(f"{byte_order}L", entry[8:])[0])
            value = file.read(2)
        else:
            value = entry[8:10] if kind == _SHORT else entry[8:12]
        letter = "L" if kind == _LONG else "H"
        if len(value) != struct.calcsize(f"{byte_order}{letter}"):
            return False
        return struct.unpack(f"{byte_order}{letter}", value)[0] >= 32
    return False
