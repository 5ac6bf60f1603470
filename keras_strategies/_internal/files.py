"""Atomic file writes: to another name first, then renamed."""

import json
import os
import pathlib
from typing import Any

import numpy as np


def replace(path: pathlib.Path, content: bytes) -> None:
    """Writes `content` to `path`; an existing file keeps its permissions."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        if path.exists():
            temporary.chmod(path.stat().st_mode & 0o7777)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Replaces `path` by `value` as JSON; NumPy's scalars become Python's."""
    text = json.dumps(value, default=python_scalar)
    replace(pathlib.Path(path), text.encode())


def python_scalar(value: Any) -> Any:
    """The `default` of `json.dumps` for NumPy's scalars."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"cannot write {type(value).__name__} as JSON")
