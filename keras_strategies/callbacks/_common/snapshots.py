"""Copies of a model's state in host memory."""

from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.keras_private import lasting_variables


def of_optimizers(optimizers: Iterable[Any]) -> list[keras.Variable]:
    """Returns the variables of optimizers, each once, without what callbacks added."""
    variables = [v for item in optimizers for v in lasting_variables(item)]
    return list({id(variable): variable for variable in variables}.values())


def is_finite(values: Iterable[np.ndarray]) -> bool:
    """Whether every floating-point number in some arrays is finite."""
    return all(
        bool(np.all(np.isfinite(value.astype("float32"))))
        for value in values
        if keras.backend.is_float_dtype(str(value.dtype))
    )


def check_shapes(
    values: Sequence[Any],
    variables: Sequence[keras.Variable],
    callback: keras.callbacks.Callback,
) -> None:
    """Refuses values that came from a model of other shapes."""
    in_state = [tuple(np.shape(value)) for value in values]
    in_model = [tuple(variable.shape) for variable in variables]
    if in_state != in_model:
        checks.fail(
            f"The state given to {type(callback).__name__} must come from the same "
            "model",
            fix="Use a new object for another model.",
            shapes_in_state=in_state,
            shapes_in_model=in_model,
        )
