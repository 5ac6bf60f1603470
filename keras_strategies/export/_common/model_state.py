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
        for variable in _untrained_variables(model)
    ]
    try:
        yield
    finally:
        for variable, value in before:
            now = keras.ops.convert_to_numpy(variable.value)
            if not np.array_equal(now, value, equal_nan=value.dtype.kind == "f"):
                variable.assign(value)


def _untrained_variables(model):
    """Variables of the model and its layers, also those that Keras does not track.

    The state of a stateful recurrent layer is an attribute of it and in no list.
    """
    variables = {id(v): v for v in model.variables if not v.trainable}
    for layer in [model, *traversal.all_layers(model)]:
        for value in vars(layer).values():
            variables |= {id(v): v for v in _variables_in(value) if not v.trainable}
    return list(variables.values())


def _variables_in(value):
    """Variables in an attribute, also in lists and dicts (of keys of any type)."""
    if isinstance(value, keras.Variable):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list | tuple):
        return []
    return [variable for entry in value for variable in _variables_in(entry)]
