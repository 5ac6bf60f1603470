"""Base class of callbacks that start anew with every fit, unless resumed."""

import copy
from typing import Any

from keras_strategies._internal.keras_private import callback_list
from keras_strategies.callbacks._common.stateful_callback import (
    StatefulCallback,
    check_state_keys,
)


class ResumableCallback(StatefulCallback):
    """A callback whose memory lasts one fit, as in Keras's own callbacks.

    `_state_names` lists attributes, public or private; `_reset` gives them the values
    of a new fit. A state that `set_state` gets before a fit survives its beginning,
    and only that one.
    """

    _resumed = False

    def get_state(self) -> dict[str, Any]:
        """Returns what the callback has learned, as a dict of plain values."""
        return {
            name.lstrip("_"): copy.deepcopy(getattr(self, name))
            for name in self._state_names
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores a dict from `get_state`, for the next `fit` or within one."""
        attributes = {name.lstrip("_"): name for name in self._state_names}
        check_state_keys(self, state, attributes)
        for key, name in attributes.items():
            setattr(self, name, copy.deepcopy(state[key]))
        # Within a fit it counts at once, and the next fit begins anew.
        self._resumed = callback_list(self) is None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if not self._resumed:
            self._reset()
        self._resumed = False

    def _reset(self) -> None:
        raise NotImplementedError
