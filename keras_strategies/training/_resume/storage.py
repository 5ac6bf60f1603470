"""Where checkpoints lie: a folder, or a file system of fsspec.

Either commits a checkpoint at once or not at all. A folder is written under another
name, flushed to the disk and renamed. Object stores have no rename: there the manifest
is written last, and without it there is no checkpoint.
"""

import contextlib
import os
import pathlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO, Protocol

from keras_strategies._internal.optional import require

MANIFEST = "manifest.json"
PREFIX = "checkpoint-"
LOCK = "lock.json"

#: Writes the content of one file.
Writer = Callable[[BinaryIO], None]


class Storage(Protocol):
    """The operations that checkpoints need."""

    location: str

    def prepare(self) -> None:
        """Makes the folder and removes what a killed process has left."""
        ...

    def names(self) -> list[str]:
        """Returns the names of the checkpoints, the oldest first."""
        ...

    def commit(self, name: str, files: Mapping[str, Writer]) -> None:
        """Writes the files of a checkpoint, in their order, and makes it one."""
        ...

    def open(self, name: str, file: str) -> BinaryIO:
        """Opens a file of a checkpoint."""
        ...

    def remove(self, name: str) -> None:
        """Removes a checkpoint."""
        ...


class LocalStorage:
    """Checkpoints in a folder of this machine."""

    def __init__(self, directory: str | os.PathLike[str]):
        self.directory = pathlib.Path(directory)
        self.location = str(self.directory)

    def prepare(self) -> None:
        """Makes the folder and removes what a killed process has left."""
        self.directory.mkdir(parents=True, exist_ok=True)
        for entry in self.directory.glob(f".{PREFIX}*.tmp"):
            shutil.rmtree(entry)

    def names(self) -> list[str]:
        """Returns the names of the checkpoints, the oldest first."""
        if not self.directory.is_dir():
            return []
        entries = self.directory.glob(f"{PREFIX}*")
        return sorted(entry.name for entry in entries if entry.is_dir())

    def commit(self, name: str, files: Mapping[str, Writer]) -> None:
        """Writes the files under another name, then renames their folder."""
        aside = self.directory / f".{name}.{os.getpid()}.tmp"
        self.directory.mkdir(parents=True, exist_ok=True)
        aside.mkdir()
        try:
            for file, write in files.items():
                with (aside / file).open("xb") as stream:
                    write(stream)
                    stream.flush()
                    os.fsync(stream.fileno())
            _flush_directory(aside)
            # A rename would refuse a folder that is there: names are used once.
            os.rename(aside, self.directory / name)
            _flush_directory(self.directory)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise

    def open(self, name: str, file: str) -> BinaryIO:
        """Opens a file of a checkpoint."""
        return (self.directory / name / file).open("rb")

    def remove(self, name: str) -> None:
        """Removes a checkpoint, its manifest first: half of one is none."""
        folder = self.directory / name
        (folder / MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(folder)


def _flush_directory(path):
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class RemoteStorage:
    """Checkpoints in a file system of fsspec, such as `s3://` or `gs://`."""

    def __init__(self, url: str, options: Mapping[str, Any] | None = None):
        fsspec = require("fsspec", "A `directory` with `://`")
        self.location = url
        self.filesystem, self.root = fsspec.core.url_to_fs(url, **(options or {}))

    def path(self, *parts: str) -> str:
        """Returns the path of something below the folder."""
        return "/".join([self.root.rstrip("/"), *parts])

    def prepare(self) -> None:
        """Makes the folder and removes what a killed process has left."""
        self.filesystem.makedirs(self.root, exist_ok=True)
        self.filesystem.invalidate_cache()
        for name in self._folders():
            if not self.filesystem.exists(self.path(name, MANIFEST)):
                self.filesystem.rm(self.path(name), recursive=True)

    def _folders(self):
        if not self.filesystem.exists(self.root):
            return []
        entries = self.filesystem.ls(self.root, detail=False)
        names = [str(entry).rstrip("/").rpartition("/")[2] for entry in entries]
        return sorted(name for name in names if name.startswith(PREFIX))

    def names(self) -> list[str]:
        """Returns the names of the checkpoints, the oldest first."""
        self.filesystem.invalidate_cache()
        return self._folders()

    def commit(self, name: str, files: Mapping[str, Writer]) -> None:
        """Writes the files; the manifest, which comes last, makes them a checkpoint."""
        self.filesystem.makedirs(self.path(name), exist_ok=True)
        try:
            for file, write in files.items():
                with self.filesystem.open(self.path(name, file), "wb") as stream:
                    write(stream)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                self.filesystem.rm(self.path(name), recursive=True)
            raise

    def open(self, name: str, file: str) -> BinaryIO:
        """Opens a file of a checkpoint."""
        return self.filesystem.open(self.path(name, file), "rb")

    def remove(self, name: str) -> None:
        """Removes a checkpoint, its manifest first."""
        with contextlib.suppress(FileNotFoundError):
            self.filesystem.rm(self.path(name, MANIFEST))
        self.filesystem.rm(self.path(name), recursive=True)


def storage_of(
    directory: str | os.PathLike[str], options: Mapping[str, Any] | None = None
) -> LocalStorage | RemoteStorage:
    """Returns the storage for a path or for a URL of fsspec."""
    if isinstance(directory, str) and "://" in directory:
        return RemoteStorage(directory, options)
    return LocalStorage(directory)


def chunks(file: BinaryIO, size: int = 1 << 20) -> Iterator[bytes]:
    """Yields the content of a file in pieces."""
    while piece := file.read(size):
        yield piece
