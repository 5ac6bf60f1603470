"""Variables whose updates are watched, and assignments inside scopes."""

from collections.abc import Iterable

import keras
from keras.src.backend.common.stateless_scope import (
    get_stateless_scope,
    in_stateless_scope,
)
from keras.src.backend.common.variables import AutocastScope

from keras_strategies._internal.types import Tensor


class _WatchedVariable(keras.Variable):
    """A variable that reports the start of every update by an optimizer."""

    @property
    def overwrite_with_gradient(self):
        self._before_update(self)
        return self._overwrite_with_gradient

    @overwrite_with_gradient.setter
    def overwrite_with_gradient(self, value):
        keras.Variable.overwrite_with_gradient.fset(self, value)


def watch_updates(variable, before_update):
    """Calls `before_update(variable)` whenever an optimizer starts to update it.

    A constraint is called after the update and cannot see what the value was.
    Every `Optimizer.apply`, on every backend and inside every trace, reads
    `overwrite_with_gradient` of each variable before it changes the first one;
    that read is the signal. It may come more than once. Keras 3.12 to 3.15.
    """
    if type(variable) is not keras.Variable:
        raise TypeError(
            f"Only plain Keras variables can be watched. Received: {variable.path} "
            f"of type {type(variable)}."
        )
    variable._before_update = before_update
    variable.__class__ = _WatchedVariable


def unwatch_updates(variable):
    """Undoes `watch_updates`."""
    variable.__class__ = keras.Variable
    del variable._before_update


def is_frozen_by_scope(variable):
    """Whether assigning to `variable` now would be lost.

    Inside a `StatelessScope` (every training step on JAX) only the variables it
    was given are carried on. The active scope has no public accessor.
    Keras 3.12 to 3.15.
    """
    if not in_stateless_scope():
        return False
    return get_stateless_scope().get_current_value(variable) is None


def assign_in_a_call(variable, value):
    """Assigns to `variable` while a layer is called, also in mixed precision.

    There a variable shows a copy in the precision of the computation, and on Torch
    `assign` changes that copy only: the value is lost without an error. The scope
    that casts has no public name. Keras 3.12 to 3.15.
    """
    with AutocastScope(None):
        variable.assign(value)


def raw_values(variables: Iterable[keras.Variable]) -> list[Tensor]:
    """The values of built variables, outside of all scopes.

    The public `value` asks for Keras's scopes each time: for four variables that takes
    as long as half the launch of a small program. Keras 3.12 to 3.15.
    """
    return [variable._value for variable in variables]
