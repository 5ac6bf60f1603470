"""One training for each folder of checkpoints."""

import contextlib
import fcntl
import json
import os
import secrets
import socket
import time
from typing import Any

import psutil

from keras_strategies._internal import checks
from keras_strategies.training._resume.storage import (
    LOCK,
    LocalStorage,
    RemoteStorage,
)


class LockedDirectory(RuntimeError):
    """Another training writes to the same folder."""


class DirectoryLock:
    """The right to write to a folder, which ends with the process at the latest.

    On a local folder the kernel holds it (`flock`) and gives it back when the process
    is killed. In an object store it is an object that names its owner: an owner of this
    machine that no longer runs is none; of one elsewhere nobody can tell, and
    `take_over` must be said.
    """

    def __init__(self, storage: LocalStorage | RemoteStorage, take_over: bool = False):
        self._storage, self._take_over = storage, take_over
        self._file: Any = None
        self._token = secrets.token_hex(8)

    def acquire(self) -> None:
        """Takes the lock.

        Raises:
            LockedDirectory: If another process has it.
        """
        if isinstance(self._storage, LocalStorage):
            self._acquire_local(self._storage)
        else:
            self._acquire_remote(self._storage)

    def check(self) -> None:
        """Raises `LockedDirectory` if another training has taken the lock over."""
        storage = self._storage
        if isinstance(storage, LocalStorage):
            path = storage.directory / LOCK
            mine = os.fstat(self._file.fileno()).st_ino
            if path.exists() and path.stat().st_ino != mine:
                self._refuse(path.read_bytes())
        elif _owner(_read(storage)).get("token", self._token) != self._token:
            self._refuse(_read(storage))

    def release(self) -> None:
        """Gives the lock back; does nothing if it is not held."""
        if self._file is not None:
            self._file.close()
            self._file = None
        elif isinstance(self._storage, RemoteStorage):
            path = self._storage.path(LOCK)
            if _owner(_read(self._storage)).get("token") == self._token:
                with contextlib.suppress(FileNotFoundError):
                    self._storage.filesystem.rm(path)

    def _acquire_local(self, storage):
        path = storage.directory / LOCK
        if self._take_over:
            path.unlink(missing_ok=True)  # the other holds a file without a name now
        file = path.open("a+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            content = file.read()
            file.close()
            self._refuse(content)
        file.truncate(0)
        file.write(self._description())
        file.flush()
        self._file = file

    def _acquire_remote(self, storage):
        content = _read(storage)
        if content is not None and not self._take_over and not _is_over(content):
            self._refuse(content)
        with storage.filesystem.open(storage.path(LOCK), "wb") as file:
            file.write(self._description())
        # Of two that write at once the later one has it.
        if _owner(_read(storage)).get("token") != self._token:
            self._refuse(_read(storage))

    def _description(self):
        owner = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "process_started": psutil.Process().create_time(),
            "since": time.strftime("%Y-%m-%d %H:%M:%S"),
            "token": self._token,
        }
        return json.dumps(owner).encode()

    def _refuse(self, content):
        owner = _owner(content)
        raise LockedDirectory(
            checks.message(
                "Another training writes to this directory: process "
                f"{owner.get('pid', 'unknown')} on {owner.get('host', 'unknown')}, "
                f"since {owner.get('since', 'an unknown time')}",
                {"directory": self._storage.location},
                "Use another directory, or end that process. If it is gone although "
                "this message comes, give take_over=True once.",
            )
        )


def _read(storage: RemoteStorage) -> bytes | None:
    try:
        storage.filesystem.invalidate_cache()
        return storage.filesystem.cat_file(storage.path(LOCK))
    except FileNotFoundError:
        return None


def _owner(content: bytes | None) -> dict[str, Any]:
    try:
        owner = json.loads(content or b"{}")
    except ValueError:
        return {}
    return owner if isinstance(owner, dict) else {}


def _is_over(content: bytes) -> bool:
    """Whether the owner was a process of this machine that has ended."""
    owner = _owner(content)
    if owner.get("host") != socket.gethostname():
        return False
    try:
        started = psutil.Process(owner["pid"]).create_time()
    except (psutil.NoSuchProcess, KeyError):
        return True
    # The number may have been given to another process since.
    return abs(started - owner.get("process_started", started)) > 1 or (
        owner["pid"] == os.getpid()
    )
