"""Files packed behind a `.tflite` file as a zip archive, such as `labels.txt`."""

import io
import zipfile


def split(content):
    """Returns `(content without its archive, [(ZipInfo, bytes), ...])`.

    An archive keeps positions from the start of the whole file, so it has to be
    packed again when something is put in front of it.
    """
    if b"PK\x05\x06" not in content[-65557:]:  # its end record, with any comment
        return content, []
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            if not entries:
                return content, []
            files = [(entry, archive.read(entry)) for entry in entries]
            return content[: min(entry.header_offset for entry in entries)], files
    except zipfile.BadZipFile:
        return content, []  # these bytes were weights


def join(content, files):
    """Returns `content` with `files` packed behind it."""
    if not files:
        return content
    whole = io.BytesIO(content)
    with zipfile.ZipFile(whole, "a") as archive:
        for entry, data in files:
            archive.writestr(entry, data)
    return whole.getvalue()
