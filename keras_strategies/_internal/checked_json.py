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
from collections.abc import Mapping
from typing import Any

from keras_strategies._internal import checks, files

_KEY = "checksum"
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
    # As the reader will see it: keys that are numbers become text.
    plain = json.loads(json.dumps(content, default=files.python_scalar))
    digest = _digest(plain)
    text = json.dumps({**plain, _KEY: digest})
    try:
        files.replace(pathlib.Path(path), text.encode(), durable=True)
    except OSError as error:
        if is_full(error):
            raise full_error(path) from error
        raise
    return digest


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Returns what was written to `path`, without the digest.

    A file that has no digest, of KerasTuner itself say, is taken as it is.

    Raises:
        DamagedFileError: If the file is empty, cut or changed, or cannot be read.
    """
    try:
        content = json.loads(pathlib.Path(path).read_bytes())
    except (ValueError, OSError) as error:
        raise DamagedFileError(f"{path}: {error}") from error
    if not isinstance(content, dict):
        raise DamagedFileError(f"{path}: no JSON object")
    digest = content.pop(_KEY, None)
    if digest is not None and digest != _digest(content):
        raise DamagedFileError(f"{path}: the content does not fit its checksum")
    return content


def digest_of(path: str | os.PathLike[str]) -> str | None:
    """Returns the digest that a file names; `None` if there is no such file."""
    try:
        return json.loads(pathlib.Path(path).read_bytes()).get(_KEY)
    except FileNotFoundError:
        return None
    except ValueError:
        return "damaged"


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


def _digest(content: Any) -> str:
    text = json.dumps(content, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
