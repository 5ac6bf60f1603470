"""Inputs that are sequences: integer tokens, or vectors of features."""

from keras_strategies._internal import checks
from keras_strategies.tuning.hypermodels import _task


def sequence_shape(input_shape, vocabulary_size):
    """Checks the two together; the length, the first axis, may be `None`."""
    vocabulary_size = checks.integer(
        "vocabulary_size", vocabulary_size, low=2, optional=True
    )
    axes = 2 if vocabulary_size is None else 1
    fix = (
        "Pass (length,) for integer tokens with vocabulary_size=, or "
        "(length, features) for series without it."
    )
    given = input_shape
    if isinstance(given, list | tuple) and given and given[0] is None:
        given = (1, *given[1:])
    shape = _task.input_shape(given, axes=axes, fix=fix)
    return (input_shape[0], *shape[1:]), vocabulary_size
