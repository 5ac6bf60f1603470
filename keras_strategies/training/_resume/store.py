"""A folder of checkpoints that one training writes to."""

import time
import warnings
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from keras_strategies._internal import checks
from keras_strategies.training._resume import checkpoints
from keras_strategies.training._resume.checkpoints import Checkpoint, DamagedCheckpoint
from keras_strategies.training._resume.lock import DirectoryLock
from keras_strategies.training._resume.storage import LocalStorage, RemoteStorage
from keras_strategies.training._resume.writer import BackgroundWriter


class CheckpointStore:
    """Reads the newest good checkpoint, writes new ones aside and removes old ones."""

    # Of this process: a fit that raised has not closed its own.
    _open: ClassVar[dict[str, "CheckpointStore"]] = {}

    def __init__(
        self,
        storage: LocalStorage | RemoteStorage,
        keep: int,
        keep_every: int | None,
        best: tuple[str, Literal["min", "max"]] | None,
        on_error: str,
        background: bool,
        take_over: bool,
        is_writer: bool = True,
    ):
        self.storage = storage
        self._is_writer = is_writer
        self._keep, self._keep_every, self._best = keep, keep_every, best
        self._on_error, self._background = on_error, background
        self._lock = DirectoryLock(storage, take_over)
        self._writer = BackgroundWriter()
        self._known: dict[str, dict[str, Any]] = {}
        self._damaged: dict[str, str] = {}
        self._sequence = 0
        self._warned = self._is_open = False

    def open(self) -> None:
        """Takes the lock, and looks at what is there.

        Of a group the chief writes; the others only look.
        """
        earlier = self._open.get(self.storage.location)
        if earlier is not None:
            earlier.close()
        self._open[self.storage.location] = self
        try:
            if self._is_writer:
                self.storage.prepare()
                self._lock.acquire()
                self._is_open = True
        except OSError as error:
            self._failed(error)
        self._known, self._damaged = checkpoints.infos(self.storage)
        numbers = [checkpoints.sequence_of(n) for n in (*self._known, *self._damaged)]
        self._sequence = max(numbers, default=0)

    def close(self) -> None:
        """Waits for the last checkpoint and gives the lock back."""
        try:
            self.wait()
        finally:
            self._is_open = False
            self._lock.release()
            if self._open.get(self.storage.location) is self:
                del self._open[self.storage.location]

    def newest(self, finished: bool | None = None) -> Checkpoint | None:
        """Returns the newest checkpoint that is as it was written, or `None`.

        Args:
            finished: Whether it must be one of a training that has ended, or must not.

        Raises:
            RuntimeError: If there are checkpoints, and none of them can be used.
        """
        damaged = dict(self._damaged)
        chosen = None
        # The newest first: numbers in names have leading zeros, so names sort like
        # them.
        for name in sorted(self._known, reverse=True):
            if finished is not None and self._known[name]["finished"] != finished:
                continue
            try:
                chosen = checkpoints.read(self.storage, name)
                break
            except (DamagedCheckpoint, OSError) as error:
                damaged[name] = self._damaged[name] = str(error)
        for name in self._damaged:
            self._known.pop(name, None)
        newer = [n for n in sorted(damaged) if chosen is None or n > chosen.name]
        reasons = "; ".join(f"{name}: {damaged[name]}" for name in newer)
        if chosen is None and newer:
            raise RuntimeError(
                checks.message(
                    f"No checkpoint can be used ({reasons})",
                    {"directory": self.storage.location},
                    "To train from the start, remove the directory or give another.",
                )
            )
        if newer and chosen is not None:
            warnings.warn(
                f"Not the newest checkpoint of {self.storage.location} is used but "
                f"{chosen.name}, as others are damaged ({reasons}).",
                stacklevel=4,
            )
        return chosen

    def wait(self) -> None:
        """Waits for the checkpoint that is being written."""
        try:
            self._writer.wait()
        except OSError as error:
            self._failed(error)

    def save(
        self,
        info: dict[str, Any],
        state: dict[str, Any],
        arrays: dict[str, Any],
        model: dict[str, Any] | None,
        wait: bool = False,
    ) -> None:
        """Writes a checkpoint, in a thread; `wait` must have been called before.

        Args:
            info: What `inspect_checkpoint` shows first.
            state: The rest, as JSON.
            arrays: Arrays, which must not change until the next `wait`.
            model: The architecture.
            wait: Whether to return when it is written.
        """
        if not self._is_open:
            return
        self._sequence += 1
        name = checkpoints.file_name(self._sequence)
        created = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        info = {**info, "sequence": self._sequence, "created": created}
        checkpoint = Checkpoint(name, info, state, arrays, model)
        self._writer.submit(lambda: self._write(checkpoint))
        if wait or not self._background:
            self.wait()

    def _write(self, checkpoint):
        self._lock.check()
        checkpoints.write(self.storage, checkpoint)
        self._known[checkpoint.name] = checkpoint.info
        # Removed when the new one is complete: a crash in between leaves one too many,
        # never none.
        kept = checkpoints.to_keep(
            self._known, self._keep, self._keep_every, self._best_name()
        )
        for name in sorted(set(self._known) - kept):
            self.storage.remove(name)
            del self._known[name]
        oldest = min(kept)
        for name in [name for name in self._damaged if name < oldest]:
            self.storage.remove(name)
            del self._damaged[name]

    def _best_name(self):
        if self._best is None:
            return None
        monitor, mode = self._best
        sign = 1.0 if mode == "min" else -1.0
        values = {
            name: sign * value
            for name, info in self._known.items()
            if (value := _logged(info, monitor)) is not None
        }
        return min(sorted(values), key=values.__getitem__) if values else None

    def _failed(self, error):
        if self._on_error == "raise":
            raise error
        if not self._warned:
            self._warned = True
            last = max(self._known, default=None)
            warnings.warn(
                f"No checkpoint could be written to {self.storage.location} ({error}). "
                "Training goes on; "
                + (f"{last} stays the last one." if last else "there is none yet."),
                stacklevel=4,
            )


def _logged(info: Mapping[str, Any], monitor: str) -> float | None:
    value = (info.get("logs") or {}).get(monitor)
    return value if value is not None and value == value else None
