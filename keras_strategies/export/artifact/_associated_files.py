"""Files appended to a `.tflite` file as a zip archive, such as `labels.txt`."""

import io
import zipfile
from typing import TypeAlias

AssociatedFiles: TypeAlias = list[tuple[zipfile.ZipInfo, bytes]]

# The end record of an archive, which may be followed by a comment of 64 kB.
_END_RECORD = b"PK\x05\x06"
_END_RECORD_REACH = 65557


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
    except zipfile.BadZipFile:
        return content, []  # these bytes were weights


def join(content: bytes, files: AssociatedFiles) -> bytes:
    """Returns `content` with `files` appended as an archive."""
    if not files:
        return content
    stream = io.BytesIO(content)
    with zipfile.ZipFile(stream, "a") as archive:
        for entry, data in files:
            archive.writestr(entry, data)
    return stream.getvalue()
