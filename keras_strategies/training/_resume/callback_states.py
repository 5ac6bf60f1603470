"""The state of the other callbacks of a `fit`."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_strategies import callbacks as callbacks_module
from keras_strategies.callbacks._state import has_known_state
from keras_strategies.training._resume.encoding import decode, encode

# Set by Keras, or no memory.
_OF_KERAS = ("model", "_model", "params", "validation_data")


def class_name(callback: keras.callbacks.Callback) -> str:
    """Returns the name by which a callback is found again."""
    return type(callback).__qualname__


class SiblingStates:
    """Reads and sets the states of callbacks; names those whose memory would be lost.

    A callback without `get_state` of which nothing changes during training has none.
    One whose attributes change has a memory that nobody can put back.
    """

    def __init__(self, siblings: Sequence[keras.callbacks.Callback]):
        self._siblings = [
            item
            for item in siblings
            if not isinstance(item, keras.callbacks.ProgbarLogger)
        ]
        unknown = [item for item in self._siblings if not has_known_state(item)]
        self._before = [(item, _attributes(item)) for item in unknown]
        self._unwritable: list[str] = []

    @property
    def names(self) -> list[str]:
        """Class names in the order of the list."""
        return [class_name(item) for item in self._siblings]

    def forgetful(self) -> list[str]:
        """Returns the names of the callbacks that have a memory nobody can put back."""
        changed = [
            class_name(item)
            for item, before in self._before
            if _attributes(item) != before
        ]
        return list(dict.fromkeys([*changed, *self._unwritable]))

    def read(self, arrays: dict[str, np.ndarray]) -> list[dict[str, Any]]:
        """Returns the states as JSON; their arrays go into `arrays`."""
        return [self._read(i, item, arrays) for i, item in enumerate(self._siblings)]

    def _read(self, index, callback, arrays):
        entry: dict[str, Any] = {"class": class_name(callback), "state": None}
        if has_known_state(callback):
            own: dict[str, np.ndarray] = {}
            state = callbacks_module.get_state(callback)
            try:
                entry["state"] = encode(state, own, f"callbacks/{index:02d}")
            except TypeError:
                self._unwritable.append(entry["class"])
            else:
                arrays.update(own)
        return entry

    def set(self, entries: Sequence[dict[str, Any]], arrays: dict[str, Any]) -> None:
        """Sets each state of the first callback of its class that has none yet."""
        remaining = list(entries)
        for callback in self._siblings:
            name = class_name(callback)
            entry = next((e for e in remaining if e["class"] == name), None)
            if entry is None:
                continue
            remaining.remove(entry)
            if entry["state"] is not None:
                callbacks_module.set_state(callback, decode(entry["state"], arrays))


def _attributes(callback):
    """What can be compared of a callback's attributes."""
    return {
        name: _comparable(value)
        for name, value in vars(callback).items()
        if name not in _OF_KERAS and not callable(value)
    }


def _comparable(value):
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return repr(value)  # NaN equals itself here
    if isinstance(value, np.ndarray | np.generic):
        return value.tobytes()
    if isinstance(value, list | tuple):
        return [_comparable(entry) for entry in value]
    if isinstance(value, dict):
        return {str(key): _comparable(entry) for key, entry in value.items()}
    return id(value)
