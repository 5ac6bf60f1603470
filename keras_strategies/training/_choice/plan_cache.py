"""Measured times on disk, for the next run of a script."""

import hashlib
import json
import os
import pathlib
from typing import Any

from keras_strategies._internal.storage import files

# The directory of the cache; empty for no cache.
VARIABLE = "KERAS_STRATEGIES_CACHE"
_FORMAT = 1


class PlanCache:
    """Times of candidates in one file for each model, data and machine.

    Args:
        key: All that the times depend on, for JSON.
    """

    def __init__(self, key: Any):
        folder = cache_directory()
        text = json.dumps(key, sort_keys=True, default=repr)
        name = hashlib.sha256(text.encode()).hexdigest()[:24]
        self._path = None if folder is None else folder / "plans" / f"{name}.json"

    def load(self) -> dict[str, Any]:
        """Returns `{candidate: times}`, empty if there is nothing that can be read."""
        if self._path is None:
            return {}
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # missing, or of an interrupted disk
            return {}
        is_ours = isinstance(content, dict) and content.get("format") == _FORMAT
        return content["times"] if is_ours else {}

    def save(self, times: dict[str, Any]) -> None:
        """Writes the times, unless the directory cannot be written to."""
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            files.write_json(self._path, {"format": _FORMAT, "times": times})
        except OSError:  # a read-only home: the next run measures again
            return


def cache_directory() -> pathlib.Path | None:
    """Returns where times are kept; `None` if the variable says nowhere."""
    named = os.environ.get(VARIABLE)
    if named is not None:
        return pathlib.Path(named) if named else None
    home = os.environ.get("KERAS_HOME") or pathlib.Path.home() / ".keras"
    return pathlib.Path(home) / "keras_strategies"
