"""JSON files that tell when they are damaged.

A file that a process replaces by renaming is whole after a kill, but not after a power
loss or a full disk, and a bit that flips in it may leave legal JSON with another
number. So each file has the digest of its own content among its keys, and whoever
reads it gets either what was written or `DamagedFileError`.
"""

import errno
import hashlib
import json
import os
import pathlib
import re
from collections.abc import Collection, Mapping
from typing import Any

from keras_strategies._internal import checks
from keras_strategies._internal.storage import files

_KEY = "checksum"
# The digest comes first and is that of all bytes behind it.
_BEGIN = re.compile(rb'\{"checksum": "([0-9a-f]{32})"(?:, )?')
_FULL = (errno.ENOSPC, errno.EDQUOT)


class DamagedFileError(ValueError):
    """The content of a file is not what was written."""


def write(path: str | os.PathLike[str], content: Mapping[str, Any]) -> str:
    """Replaces `path` by `content` and its digest, on the disk when this returns.

    Returns:
        The digest.

    Raises:
        OSError: If the disk is full, with what to do; the earlier file stays.
    """
    body = json.dumps(content, default=files.python_scalar).encode()[1:]
    digest = _digest(body)
    separator = b"" if body == b"}" else b", "
    text = b'{"checksum": "' + digest.encode() + b'"' + separator + body
    try:
        files.replace(pathlib.Path(path), text, durable=True)
    except OSError as error:
        if is_full(error):
            raise full_error(path) from error
        raise
    return digest


def read(path: str | os.PathLike[str], keys: Collection[str] = ()) -> dict[str, Any]:
    """Returns what was written to `path`, without the digest.

    A file that has no digest, of KerasTuner itself say, is taken as it is.

    Args:
        path: The file.
        keys: What the content must have. Defaults to `()`.

    Raises:
        DamagedFileError: If the file is empty, cut or changed, or cannot be read.
    """
    try:
        text = pathlib.Path(path).read_bytes()
        content = json.loads(text)
    except (ValueError, OSError) as error:
        raise DamagedFileError(f"{path}: {error}") from error
    if not isinstance(content, dict):
        raise DamagedFileError(f"{path}: no JSON object")
    begin = _BEGIN.match(text)
    if begin is not None and begin[1].decode() != _digest(text[begin.end() :]):
        raise DamagedFileError(f"{path}: the content does not fit its checksum")
    content.pop(_KEY, None)
    missing = [key for key in keys if key not in content]
    if missing:
        raise DamagedFileError(f"{path}: it lacks {', '.join(missing)}")
    return content


def digest_of(path: str | os.PathLike[str]) -> str | None:
    """Returns the digest that a file names; `None` if it has none or does not exist."""
    try:
        with pathlib.Path(path).open("rb") as file:
            begin = _BEGIN.match(file.read(64))
    except FileNotFoundError:
        return None
    return None if begin is None else begin[1].decode()


def set_aside(path: str | os.PathLike[str]) -> pathlib.Path:
    """Renames a damaged file, so that it can be looked at; returns its new name."""
    source = pathlib.Path(path)
    target = source.with_name(f"{source.name}.damaged")
    os.replace(source, target)
    return target


def is_full(error: BaseException) -> bool:
    """Whether an error says that the disk, or a quota on it, is full."""
    # HDF5 has the number in its text only.
    return isinstance(error, OSError) and (
        error.errno in _FULL or "errno = 28," in str(error)
    )


def full_error(path: str | os.PathLike[str]) -> OSError:
    """Returns the error of a full disk."""
    message = checks.message(
        "The disk is full",
        {"file": str(path)},
        "What was written before is whole: make room and start the same search again, "
        "it goes on.",
    )
    return OSError(errno.ENOSPC, message)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]
