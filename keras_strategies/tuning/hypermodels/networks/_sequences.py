"""Inputs that are sequences: integer tokens, or vectors of features."""

from typing import Any

import keras

from keras_strategies._internal import checks
from keras_strategies.tuning.hypermodels import _task


def check_sequence(
    input_shape: Any, vocabulary_size: Any
) -> tuple[tuple[int | None, ...], int | None]:
    """Checks the two together; the length, the first axis, may be `None`."""
    vocabulary_size = checks.integer(
        "vocabulary_size", vocabulary_size, low=2, optional=True
    )
    axes = 2 if vocabulary_size is None else 1
    fix = (
        "Pass (length,) for integer tokens with vocabulary_size=, or "
        "(length, features) for series without it."
    )
    checked = input_shape
    if isinstance(checked, list | tuple) and checked and checked[0] is None:
        checked = (1, *checked[1:])
    shape = _task.check_input_shape(checked, axes=axes, fix=fix)
    return (input_shape[0], *shape[1:]), vocabulary_size


def sequence_input(shape: tuple[int | None, ...], vocabulary_size: int | None) -> Any:
    """The input of a network: tokens are integers, features are `floatx`."""
    return keras.Input(shape, dtype=None if vocabulary_size is None else "int32")
