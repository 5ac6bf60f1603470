"""State of a model that a call may change, kept as it was."""

import contextlib
from collections.abc import Iterator

import keras
import numpy as np

from keras_strategies._internal import traversal


@contextlib.contextmanager
def preserved_state(model: keras.Model) -> Iterator[None]:
    """Gives every variable that is not trained its value back after the block.

    A call moves the state of stateful recurrent layers, the seeds of random ones,
    counters, and the statistics of a normalization that is called in training mode.
    Trained weights are changed by no call and are not copied.
    """
    before = [
        (variable, np.array(keras.ops.convert_to_numpy(variable.value)))
        for variable in traversal.all_variables(model)
        if not variable.trainable
    ]
    try:
        yield
    finally:
        for variable, value in before:
            now = keras.ops.convert_to_numpy(variable.value)
            if not np.array_equal(now, value, equal_nan=value.dtype.kind == "f"):
                variable.assign(value)
