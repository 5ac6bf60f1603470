"""Callbacks that start anew with every fit, unless a state was given."""

import copy

from keras_strategies._internal import checks
from keras_strategies.callbacks._base import StatefulCallback


class ResumableCallback(StatefulCallback):
    """A callback whose memory lasts one fit, as in Keras's own callbacks.

    `_state_names` lists attributes, public or private; `_reset` gives them the
    values of a new fit. A state from `set_state` outlives the begin of the next
    fit, and only of that one.
    """

    _resumed = False

    def get_state(self):
        """Returns what the callback has learned, as a dict of plain values."""
        return {
            name.lstrip("_"): copy.deepcopy(getattr(self, name))
            for name in self._state_names
        }

    def set_state(self, state):
        """Takes over a dict from `get_state`, for the next `fit`."""
        checks.instance("state", state, dict)
        names = {name.lstrip("_"): name for name in self._state_names}
        if set(state) != set(names):
            checks.fail(
                f"`state` of {type(self).__name__} must have the keys {sorted(names)}",
                fix="Give what get_state() of the same class returned.",
                state=sorted(state, key=str),
            )
        for key, name in names.items():
            setattr(self, name, copy.deepcopy(state[key]))
        self._resumed = True

    def on_train_begin(self, logs=None):
        if not self._resumed:
            self._reset()
        self._resumed = False

    def _reset(self):
        raise NotImplementedError
