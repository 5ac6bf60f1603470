"""What callbacks have learned, Keras's own included, as plain dicts."""

import copy

import keras

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import (
    checkpoint_memory,
    set_checkpoint_memory,
)

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


def get_state(callback):
    """Returns what a callback has learned, as a dict of plain values and arrays.

    With the saved model it is what a resumed training needs: without it
    `EarlyStopping` forgets how long it has waited, `ModelCheckpoint` what the best
    value was. Works for the callbacks of this package and for Keras's
    `EarlyStopping`, `ReduceLROnPlateau`, `ModelCheckpoint` and `History`.

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
    if isinstance(callback, keras.callbacks.ModelCheckpoint):
        return checkpoint_memory(callback)
    names = _names(callback)
    return {name: copy.deepcopy(getattr(callback, name, None)) for name in names}


def set_state(callback, state):
    """Gives a new callback the state of an earlier one, for the next `fit`.

    The next `fit` goes on with it, although Keras's callbacks forget everything when
    training begins; a fit after that one starts anew.

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
    checks.instance("state", state, dict)
    checkpoint = isinstance(callback, keras.callbacks.ModelCheckpoint)
    names = checkpoint_memory(callback) if checkpoint else _names(callback)
    if set(state) != set(names):
        checks.fail(
            f"`state` of {type(callback).__name__} must have the keys {sorted(names)}",
            fix="Give what get_state() of the same class returned.",
            state=sorted(state, key=str),
        )
    if checkpoint:
        set_checkpoint_memory(callback, copy.deepcopy(state))
        return
    _assign(callback, state)
    _assign_after_next_begin(callback, state)


def _names(callback):
    for cls, names in _RESET_BY_KERAS.items():
        if isinstance(callback, cls):
            return names
    known = ", ".join(cls.__name__ for cls in _RESET_BY_KERAS)
    return checks.fail(
        "`callback` must be one of this package, or Keras's ModelCheckpoint, " + known,
        fix="Callbacks that learn nothing need no state.",
        error=TypeError,
        callback=type(callback).__name__,
    )


def _assign(callback, state):
    for name, value in copy.deepcopy(state).items():
        if value is not None or hasattr(callback, name):
            setattr(callback, name, value)


def _assign_after_next_begin(callback, state):
    """Repeats `_assign` once, after the `on_train_begin` that forgets it."""
    state = copy.deepcopy(state)

    def on_train_begin(logs=None):
        del callback.on_train_begin  # the method of the class again
        callback.on_train_begin(logs)
        _assign(callback, state)

    callback.__dict__.pop("on_train_begin", None)
    callback.on_train_begin = on_train_begin
