"""Base class of callbacks that start anew with every fit, unless resumed."""

from typing import Any

from keras_strategies.callbacks._common.stateful_callback import StatefulCallback


class ResumableCallback(StatefulCallback):
    """A callback whose memory lasts one fit, as in Keras's own callbacks.

    `_reset` gives the attributes of `_state_names` the values of a new fit. A state
    that `set_state` gets before a fit survives its beginning, and only that one.
    """

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if not self._resumed:
            self._reset()
        self._resumed = False

    def _reset(self) -> None:
        raise NotImplementedError
