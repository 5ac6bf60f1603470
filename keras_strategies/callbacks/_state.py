"""State of callbacks, Keras's own included, as plain dicts."""

import copy
from typing import Any

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import callback_list
from keras_strategies._internal.keras_private.callback_memory import (
    get_private_memory,
    private_memory,
    set_private_memory,
)
from keras_strategies.callbacks._common import csv_state
from keras_strategies.callbacks._common.stateful_callback import check_state_keys

# Attributes that Keras's callbacks set anew in `on_train_begin`.
_RESET_BY_KERAS = {
    keras.callbacks.EarlyStopping: (
        "wait",
        "stopped_epoch",
        "best",
        "best_weights",
        "best_epoch",
    ),
    keras.callbacks.ReduceLROnPlateau: ("best", "cooldown_counter", "wait"),
    keras.callbacks.History: ("history", "epoch"),
}
# These learn nothing: what they do is a function of the epoch and of the logs.
_WITHOUT_MEMORY = (
    keras.callbacks.LearningRateScheduler,
    keras.callbacks.ProgbarLogger,
    keras.callbacks.RemoteMonitor,
    keras.callbacks.TerminateOnNaN,
)


def get_state(callback: keras.callbacks.Callback) -> dict[str, Any]:
    """Returns what a callback has learned, as a dict of plain values and arrays.

    With the saved model it is what a resumed training needs: without it
    `EarlyStopping` forgets how long it has waited, `ModelCheckpoint` what the best
    value was. Works for the callbacks of this package and for Keras's
    `EarlyStopping`, `ReduceLROnPlateau`, `ModelCheckpoint`, `CSVLogger` (its rows),
    `TensorBoard` (its steps), `SwapEMAWeights` and `History`, and for those that learn
    nothing, such as `LearningRateScheduler`.

    Args:
        callback: The callback, at any time, also within `fit`.

    Returns:
        A dict for `set_state`.

    Raises:
        TypeError: If nothing is known about the state of this kind of callback.

    Example:

    ```python
    import keras
    from keras_strategies import callbacks

    stopper = keras.callbacks.EarlyStopping(patience=5)
    stopper.on_train_begin()
    stopper.wait = 3
    print(callbacks.get_state(stopper)["wait"])  # 3
    ```
    """
    if hasattr(callback, "get_state"):
        return callback.get_state()
    if isinstance(callback, keras.callbacks.CSVLogger):
        return csv_state.get_state(callback)
    private = private_memory(callback)
    if private is not None:
        return get_private_memory(callback, private)
    names = _state_names(callback)
    return {name: copy.deepcopy(getattr(callback, name, None)) for name in names}


def set_state(callback: keras.callbacks.Callback, state: dict[str, Any]) -> None:
    """Restores the state of an earlier callback in a new one, for the next `fit`.

    That `fit` continues from it, although Keras's callbacks reset their state when
    training begins; one after it starts anew. Within a `fit` the state counts at once.

    Args:
        callback: A callback of the same class and arguments.
        state: What `get_state` returned.

    Raises:
        TypeError: If nothing is known about the state of this kind of callback.
        ValueError: If the state is that of another kind.

    Example:

    ```python
    import keras
    from keras_strategies import callbacks

    first = keras.callbacks.EarlyStopping(patience=5)
    first.on_train_begin()
    first.wait = 3
    second = keras.callbacks.EarlyStopping(patience=5)
    callbacks.set_state(second, callbacks.get_state(first))
    second.on_train_begin()  # as `fit` does
    print(second.wait)  # 3
    ```
    """
    if hasattr(callback, "set_state"):
        callback.set_state(state)
        return
    check_state_keys(callback, state, _keys(callback))
    _assign(callback, state)
    if callback_list(callback) is None:  # else the fit is there already
        _assign_after_next_begin(callback, state)


def has_known_state(callback: keras.callbacks.Callback) -> bool:
    """Whether `get_state` and `set_state` work for this callback."""
    if hasattr(callback, "get_state") and hasattr(callback, "set_state"):
        return True
    kinds = (keras.callbacks.CSVLogger, *_WITHOUT_MEMORY, *_RESET_BY_KERAS)
    return isinstance(callback, kinds) or private_memory(callback) is not None


def _keys(callback):
    if isinstance(callback, keras.callbacks.CSVLogger):
        return csv_state.KEYS
    return private_memory(callback) or _state_names(callback)


def _state_names(callback):
    for cls, names in _RESET_BY_KERAS.items():
        if isinstance(callback, cls):
            return names
    if isinstance(callback, _WITHOUT_MEMORY):
        return ()
    supported = ", ".join(cls.__name__ for cls in _RESET_BY_KERAS)
    return checks.fail(
        f"`callback` must be one of this package, or Keras's ModelCheckpoint, "
        f"CSVLogger, TensorBoard, SwapEMAWeights, {supported}",
        fix="Give a callback of your own the methods of callbacks.Stateful.",
        error=TypeError,
        callback=type(callback).__name__,
    )


def _assign(callback, state):
    private = private_memory(callback)
    if isinstance(callback, keras.callbacks.CSVLogger):
        csv_state.set_state(callback, state)
        return
    if private is not None:
        set_private_memory(callback, private, copy.deepcopy(state))
        return
    for name, value in copy.deepcopy(state).items():
        if value is not None or hasattr(callback, name):
            setattr(callback, name, value)


def _assign_after_next_begin(callback, state):
    """Repeats `_assign` once, after the next `on_train_begin`, which resets."""
    state = copy.deepcopy(state)

    def on_train_begin(logs=None):
        del callback.on_train_begin  # the method of the class again
        callback.on_train_begin(logs)
        _assign(callback, state)

    callback.__dict__.pop("on_train_begin", None)
    callback.on_train_begin = on_train_begin
