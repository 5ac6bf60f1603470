"""Files appended to a `.tflite` file as a zip archive, such as `labels.txt`."""

import io
import zipfile
import zlib
from collections.abc import Mapping
from typing import TypeAlias

from keras_strategies.export._common import ExportError

AssociatedFiles: TypeAlias = list[tuple[zipfile.ZipInfo, bytes]]

# The end record of an archive, which may be followed by a comment of 64 kB.
_END_RECORD = b"PK\x05\x06"
_END_RECORD_REACH = 65557
# What `zipfile` raises on bytes that are no archive of ours: RuntimeError asks for a
# password, NotImplementedError for another compression.
_NO_ARCHIVE = (
    zipfile.BadZipFile,
    zlib.error,
    RuntimeError,
    EOFError,
    ValueError,
    OSError,
)


def split(content: bytes) -> tuple[bytes, AssociatedFiles]:
    """Returns `(content without its archive, [(ZipInfo, bytes), ...])`.

    An archive keeps positions from the start of the whole file, so it has to be
    packed again when bytes are inserted in front of it.
    """
    if _END_RECORD not in content[-_END_RECORD_REACH:]:
        return content, []
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            if not entries:
                return content, []
            files = [(entry, archive.read(entry)) for entry in entries]
            # The archive begins at its first entry, whatever their order is.
            return content[: min(entry.header_offset for entry in entries)], files
    except _NO_ARCHIVE:
        return content, []  # these bytes were weights, or are damaged


def add(files: AssociatedFiles, added: Mapping[str, bytes]) -> AssociatedFiles:
    """Returns `files` and `added`, uncompressed, as readers on devices ask."""
    names = {entry.filename for entry, _ in files}
    for name in added:
        if name in names:
            message = (
                f"The file carries a file '{name}' of another tool already. Give the "
                "output another name, or take that file out."
            )
            raise ExportError(message, "metadata")
    # Without a time of day: equal contents give equal bytes.
    return [*files, *((zipfile.ZipInfo(name), data) for name, data in added.items())]


def join(content: bytes, files: AssociatedFiles) -> bytes:
    """Returns `content` with `files` appended as an archive."""
    if not files:
        return content
    stream = io.BytesIO(content)
    with zipfile.ZipFile(stream, "a") as archive:
        for entry, data in files:
            archive.writestr(entry, data)
    return stream.getvalue()
