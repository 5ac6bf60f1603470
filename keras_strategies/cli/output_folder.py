"""Output folders that are either complete or untouched."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from keras_strategies.cli.errors import UsageError


def check_folder(path: str | os.PathLike[str]) -> Path:
    """Raises `UsageError` unless `path` is, or can become, a writable folder."""
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise UsageError(
            f"`--output` must be a folder. Received: {path}, which is a file. "
            "Name another folder."
        )
    parent = path
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise UsageError(
            f"`--output` must be writable. Received: {path}, but nothing can be "
            f"written in {parent}. Name another folder."
        )
    return path


@contextlib.contextmanager
def written_aside(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary folder; its files move into `path` only on success."""
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    # Inside `path`, so that a rename does not cross file systems.
    aside = Path(tempfile.mkdtemp(prefix=".partial-", dir=path))
    try:
        yield aside
        for file in sorted(aside.iterdir()):
            os.replace(file, path / file.name)
    finally:
        shutil.rmtree(aside)
