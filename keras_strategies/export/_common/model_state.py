"""State of a model that a call may change, kept as it was."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import traversal


@contextlib.contextmanager
def preserved_state(model: keras.Model) -> Iterator[Callable[[], bool]]:
    """Gives every variable its value back after the block.

    A call moves the state of stateful recurrent layers, the seeds of random ones,
    counters, and the statistics of a normalization that is called in training mode; a
    layer may have made such a variable without saying that it is not trained, or as a
    `tf.Variable`, which Keras does not know.

    Yields a function that gives them back at once and returns whether any had moved.
    """
    variables = [*traversal.all_variables(model), *_tensorflow_variables(model)]
    before = [(x, np.array(keras.ops.convert_to_numpy(x))) for x in variables]

    def restore() -> bool:
        moved = False
        for variable, value in before:
            if not _is_same(keras.ops.convert_to_numpy(variable), value):
                variable.assign(value)
                moved = True
        return moved

    try:
        yield restore
    finally:
        restore()


def _is_same(now, value):
    return np.array_equal(now, value, equal_nan=value.dtype.kind == "f")


def _tensorflow_variables(model: keras.Model) -> list[Any]:
    """Variables of TensorFlow that are attributes of layers."""
    if keras.backend.backend() != "tensorflow":
        return []
    import tensorflow as tf

    return [
        value
        for layer in [model, *traversal.all_layers(model)]
        for value in vars(layer).values()
        if isinstance(value, tf.Variable)
    ]
