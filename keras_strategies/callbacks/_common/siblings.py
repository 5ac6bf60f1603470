"""The other callbacks of the same `fit`.

Keras gives a callback no way to them. `siblings` and `wrap_list` work in every hook
that a `CallbackList`, or a callback with others in `callbacks`, calls; where hooks are
called by hand there are no siblings.
"""

from collections.abc import Iterable

import keras

from keras_strategies._internal.keras_private import callback_list


def siblings(callback: keras.callbacks.Callback) -> list[keras.callbacks.Callback]:
    """Returns the other callbacks of the running `fit`, in their order.

    Lists within the list are opened; Keras's own `History` is one of them.
    """
    owner = callback_list(callback)
    if owner is None:
        return []
    return [item for item in _opened(owner.callbacks) if item is not callback]


def are_in_one_fit(
    first: keras.callbacks.Callback | None, second: keras.callbacks.Callback | None
) -> bool:
    """Whether both are callbacks of one `fit`: these share the `params` dict."""
    if first is None or second is None:
        return False
    return first.params is not None and first.params is second.params


def undo_begins(callback: keras.callbacks.Callback) -> None:
    """Has the others undo what they changed at the begin of a fit that is refused."""
    for other in siblings(callback):
        undo = getattr(other, "undo_begin", None)
        if undo is not None:
            undo()


def is_before(
    callback: keras.callbacks.Callback, other: keras.callbacks.Callback
) -> bool:
    """Whether `callback` is called before `other` in the running `fit`."""
    owner = callback_list(callback)
    members = [] if owner is None else list(_opened(owner.callbacks))
    return next((m is callback for m in members if m in (callback, other)), False)


def wrap_list(
    first: keras.callbacks.Callback, last: keras.callbacks.Callback | None = None
) -> None:
    """Has `first`, a member of the list, called before all others, from the next hook.

    And `last`, which need not be a member, after them. What must see the weights
    before or after all others does not depend on where the user put it.
    """
    owner = callback_list(first)
    if owner is None:
        return
    ends = [first] if last is None else [first, last]
    others = [c for c in owner.callbacks if not any(c is end for end in ends)]
    # A new list: the one that is there is being iterated over.
    owner.callbacks = [first, *others, *ends[1:]]


def _opened(
    members: Iterable[keras.callbacks.Callback],
) -> Iterable[keras.callbacks.Callback]:
    for member in members:
        nested = vars(member).get("callbacks")
        if isinstance(nested, list) and nested:
            yield from _opened(nested)
        else:
            yield member
