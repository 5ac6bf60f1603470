"""Ownership of a folder by one process at a time."""

import datetime
import os
import pathlib
import socket
from typing import Any, Self

import filelock
import psutil

from keras_strategies._internal import checks
from keras_strategies._internal.storage import checked_json


class FolderLock:
    """A lock on a folder, as a context: a second process is refused.

    The lock is one of the operating system (`filelock`), which releases it when its
    process ends in whatever way, so that the folder of a dead owner is free. Beside it
    stands a file with the owner's host, process id and time, for the message.

    Args:
        folder: The folder.
        purpose: What the folder is used for, in the message.
        fix: What to do about a second process.
    """

    def __init__(
        self, folder: str | os.PathLike[str], purpose: str, fix: str = ""
    ) -> None:
        self._folder = pathlib.Path(folder)
        self._owner = self._folder / "owner.json"
        # A lock for each object: two searches in threads of one process exclude each
        # other as well.
        self._lock = filelock.FileLock(
            self._folder / "owner.lock", timeout=0, thread_local=False
        )
        self._purpose, self._fix = purpose, fix

    def __enter__(self) -> Self:
        try:
            self._lock.acquire()
        except filelock.Timeout:
            self._refuse()
        checked_json.write(self._owner, _this_process())
        return self

    def __exit__(self, *details: object) -> None:
        # First the file: afterwards it may be another owner's.
        self._owner.unlink(missing_ok=True)
        self._lock.release()

    def _refuse(self) -> None:
        try:
            owner: dict[str, Any] = checked_json.read(self._owner)
        except checked_json.DamagedFileError:  # it is just being written
            owner = {}
        checks.fail(
            f"The folder is used by another process that {self._purpose} in it",
            fix=self._fix,
            error=RuntimeError,
            folder=str(self._folder),
            **owner,
        )


def _this_process() -> dict[str, Any]:
    started = datetime.datetime.fromtimestamp(psutil.Process().create_time())
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started": started.isoformat(" ", "seconds"),
    }
