"""Atomic file writes: to another name first, then renamed."""

import contextlib
import json
import os
import pathlib
import secrets
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np


@contextlib.contextmanager
def aside(path: pathlib.Path, suffix: str = ".tmp") -> Iterator[pathlib.Path]:
    """A path to write to inside the block, which takes the name `path` at its end.

    After an error the file that was there stays, and none beside it.

    Args:
        path: The file to replace.
        suffix: Ending of the other name, by which Keras chooses the format.
    """
    # Not the process id alone: threads write at once, and so do containers that share a
    # folder and number their processes alike.
    token = f"{os.getpid()}-{secrets.token_hex(4)}"
    temporary = path.with_name(f".{path.name}.{token}{suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing(path: pathlib.Path, durable: bool = False) -> Iterator[BinaryIO]:
    """Opens a file that replaces `path` in the end, and keeps its permissions.

    Args:
        path: The file to replace.
        durable: Whether the content is on the disk before the file takes its name, and
            the name before this returns: without it a power loss may leave an empty
            file. Defaults to `False`.
    """
    with aside(path) as temporary:
        with temporary.open("wb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        if path.exists():
            temporary.chmod(path.stat().st_mode & 0o7777)
    if durable:
        _sync_folder(path.parent)


def _sync_folder(folder: pathlib.Path) -> None:
    """Puts the names in a folder on the disk."""
    if os.name == "nt":  # Windows opens no folders
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace(path: pathlib.Path, content: bytes, durable: bool = False) -> None:
    """Writes `content` to `path`; an existing file keeps its permissions."""
    with replacing(path, durable) as file:
        file.write(content)


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Replaces `path` by `value` as JSON; NumPy's scalars become Python's."""
    text = json.dumps(value, default=python_scalar)
    replace(pathlib.Path(path), text.encode())


def python_scalar(value: Any) -> Any:
    """The `default` of `json.dumps` for NumPy's scalars."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"cannot write {type(value).__name__} as JSON")
