"""Base class of callbacks whose memory is a plain dict."""

import copy
from collections.abc import Collection
from typing import Any, ClassVar

import keras

from keras_strategies._internal import bases, checks
from keras_strategies._internal.keras_private import callback_list


class StatefulCallback(bases.Callback):
    """A callback whose memory is a plain dict, as `callbacks.Stateful` describes.

    `_state_names` lists the attributes, public or private, with what the callback
    learned during training; under their names without a leading underscore they make up
    the state. All of them are plain values or arrays, set in `__init__`.

    `set_state` may come before a `fit`, which `_resumed` then says, or between two
    batches of one. Those whose memory is of the steps themselves, such as averages, set
    `survives_roll_back` to `False`.
    """

    survives_roll_back: ClassVar[bool] = True
    _state_names: ClassVar[tuple[str, ...]] = ()
    _resumed = False

    def undo_begin(self) -> None:
        """Undoes `on_train_begin`, if another callback refuses the fit."""

    def get_state(self) -> dict[str, Any]:
        """Returns what the callback has learned, as a dict of plain values."""
        return {
            name.lstrip("_"): copy.deepcopy(getattr(self, name))
            for name in self._state_names
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores a dict from `get_state`, before a `fit` or between its batches."""
        attributes = {name.lstrip("_"): name for name in self._state_names}
        check_state_keys(self, state, attributes)
        for key, name in attributes.items():
            setattr(self, name, copy.deepcopy(state[key]))
        # Within a fit it counts at once, and the next fit begins anew.
        self._resumed = callback_list(self) is None


def check_state_keys(
    callback: keras.callbacks.Callback, state: dict[str, Any], keys: Collection[str]
) -> None:
    """Refuses a state that another class returned."""
    checks.instance("state", state, dict)
    if set(state) != set(keys):
        checks.fail(
            f"`state` of {type(callback).__name__} must have the keys {sorted(keys)}",
            fix="Give what get_state() of the same class returned.",
            state=sorted(state, key=str),
        )
