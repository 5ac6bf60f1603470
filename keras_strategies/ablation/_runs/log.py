"""What a study has trained, kept in its folder.

`study.json` says what the study is, `trainings.jsonl` has a line for each training
that ended, `plans.json` the execution plans. All are written aside and renamed, so
that a process killed at any moment leaves a whole file; the study goes on from there.
"""

import base64
import json
import os
import pathlib
import zlib
from typing import Any

import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.storage import files

_FORMAT = 1


class Log:
    """Records of trainings by arm and run, in memory and perhaps in a folder.

    Args:
        directory: The folder, which is made, or `None`.
    """

    def __init__(self, directory: str | os.PathLike[str] | None):
        self.folder: pathlib.Path | None = (
            None if directory is None else pathlib.Path(directory)
        )
        self._records: dict[tuple[str, int], dict[str, Any]] = {}
        self._lines: list[str] = []
        self.plans: dict[str, str | None] = {}
        self._lock: int | None = None

    def __enter__(self) -> "Log":
        """Locks the folder and reads what is in it."""
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._acquire()
            try:
                self._read()
            except BaseException:
                self.__exit__()
                raise
        return self

    def __exit__(self, *error: object) -> None:
        """Lets another process use the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __len__(self) -> int:
        return len(self._records)

    def count(self, below: int) -> int:
        """Number of records of runs below this one."""
        return sum(run < below for _, run in self._records)

    def __contains__(self, key: tuple[str, int]) -> bool:
        return key in self._records

    def get(self, key: tuple[str, int]) -> dict[str, Any] | None:
        """The record of an arm and a run, with arrays as arrays."""
        return self._records.get(key)

    def histories(self, arm: str, key: str, below: int) -> list[list[float]]:
        """The curve of each run below this one of an arm that ended."""
        return [
            record["history"][key]
            for (name, run), record in self._records.items()
            if name == arm and run < below and key in record.get("history", {})
        ]

    def add(self, record: dict[str, Any]) -> None:
        """Stores the record of a training that ended."""
        key = record["arm"], record["run"]
        if key in self._records:
            raise RuntimeError(f"The training {key} is stored already.")
        self._records[key] = record
        if self.folder is not None:
            self._lines.append(json.dumps(_encoded(record)) + "\n")
            path = self.folder / "trainings.jsonl"
            files.replace(path, "".join(self._lines).encode())

    def add_plan(self, arm: str, plan: str | None) -> None:
        """Stores the execution plan of an arm, which differs when measured again."""
        self.plans[arm] = plan
        if self.folder is not None:
            content = json.dumps(self.plans, indent=1) + "\n"
            files.replace(self.folder / "plans.json", content.encode())

    def settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Stores the settings of a study, or checks them against those stored.

        A seed of `None` takes the stored one. Another value of anything else would
        make one table of two studies.
        """
        if self.folder is None:
            return settings
        path = self.folder / "study.json"
        if not path.exists():
            content = {"format": _FORMAT, **settings}
            files.replace(path, (json.dumps(content, indent=1) + "\n").encode())
            return settings
        stored = _loaded(path)
        if settings.get("seed") is None:
            settings = {**settings, "seed": stored.get("seed")}
        for name, value in {"format": _FORMAT, **settings}.items():
            if stored.get(name) != value:
                checks.fail(
                    f"`directory` has a study with another {name}",
                    directory=str(self.folder),
                    stored=stored.get(name),
                    received=value,
                    fix="Name another directory, or go on with the settings it has.",
                )
        return settings

    def stored_seed(self) -> int | None:
        """The seed of the study in the folder, if there is one."""
        if self.folder is None or not (self.folder / "study.json").exists():
            return None
        return _loaded(self.folder / "study.json").get("seed")

    def _acquire(self):
        """One process at a time; the system frees the lock of one that was killed."""
        import fcntl

        self._lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.__exit__()
            raise RuntimeError(
                checks.message(
                    "only one process at a time may run the study of a directory",
                    {"directory": str(self.folder)},
                )
            ) from error

    def _read(self):
        path = self.folder / "trainings.jsonl"
        self._records, self._lines = {}, []
        plans = self.folder / "plans.json"
        self.plans = _loaded(plans) if plans.exists() else {}
        if not path.exists():
            return
        for number, line in enumerate(path.read_text("utf-8").splitlines(True)):
            try:
                record = _decoded(json.loads(line))
                self._records[record["arm"], record["run"]] = record
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    checks.message(
                        "every line of a study's trainings must be a record",
                        {"file": str(path), "line": number + 1},
                    )
                ) from error
            self._lines.append(line)


def _loaded(path):
    try:
        return json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(
            checks.message("a file of a study must be JSON", {"file": str(path)})
        ) from error


def _encoded(value):
    """Arrays as compressed text."""
    if isinstance(value, dict):
        return {name: _encoded(item) for name, item in value.items()}
    if isinstance(value, np.ndarray):
        kind = "|u1" if np.isin(value, (0, 1)).all() else "<f8"
        data = zlib.compress(np.ascontiguousarray(value, kind).tobytes(), 6)
        text = base64.b85encode(data).decode()
        return {"array": text, "kind": kind, "shape": list(value.shape)}
    return value


def _decoded(value):
    if isinstance(value, dict) and set(value) == {"array", "kind", "shape"}:
        data = zlib.decompress(base64.b85decode(value["array"]))
        array = np.frombuffer(data, value["kind"]).reshape(value["shape"])
        return array.astype("float64")
    if isinstance(value, dict):
        return {name: _decoded(item) for name, item in value.items()}
    return value
