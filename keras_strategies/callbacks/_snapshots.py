"""Copies of a model's state in host memory."""

import keras
import numpy as np

from keras_strategies._internal import checks


def read(variables):
    """Values of variables as arrays that no later step changes."""
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def write(variables, values):
    """Assigns what `read` returned."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def finite(values):
    """Whether every number in a list of arrays is finite."""
    return all(
        bool(np.all(np.isfinite(value.astype("float32"))))
        for value in values
        if keras.backend.is_float_dtype(str(value.dtype))
    )


def check_fits(values, variables, callback):
    """Refuses values that came from a model of another shape."""
    have = [tuple(np.shape(value)) for value in values]
    need = [tuple(variable.shape) for variable in variables]
    if have != need:
        checks.fail(
            f"The state given to {type(callback).__name__} must come from the same "
            "model",
            fix="Use a new object for another model.",
            shapes_in_state=have,
            shapes_in_model=need,
        )
