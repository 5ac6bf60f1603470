"""What every callback of the package shares: a state that can be kept."""

import copy

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.walking import base_optimizers


class StatefulCallback(keras.callbacks.Callback):
    """A callback whose memory is a plain dict.

    `_state_names` lists the private attributes that hold what the callback
    learned during training; under their names without the underscore they make
    up the state. All of them are plain values or arrays, set in `__init__`.
    """

    _state_names = ()

    def get_state(self):
        """Returns what the callback has learned, as a dict of plain values."""
        return {
            name: copy.deepcopy(getattr(self, f"_{name}")) for name in self._state_names
        }

    def set_state(self, state):
        """Takes over a dict from `get_state`, before the next `fit`."""
        checks.instance("state", state, dict)
        if set(state) != set(self._state_names):
            checks.fail(
                f"`state` of {type(self).__name__} must have the keys "
                f"{sorted(self._state_names)}",
                fix="Give what get_state() of the same class returned.",
                state=sorted(state, key=str),
            )
        for name in self._state_names:
            setattr(self, f"_{name}", copy.deepcopy(state[name]))


def updating_optimizers(model, name):
    """The optimizers below the model's that update variables; `name` asks."""
    optimizers = base_optimizers(model.optimizer)
    if not any(hasattr(leaf, "optimizers") for leaf in optimizers):
        return optimizers
    # A MultiOptimizer that asks a function for them; it knows none before `build`.
    if not model.built:
        checks.fail(
            f"{name} must know the optimizers of a MultiOptimizer",
            fix="Give the model an Input, or call model.build() before fit().",
            optimizer=model.optimizer.name,
        )
    model.optimizer.build(model.trainable_variables)
    return base_optimizers(model.optimizer)
