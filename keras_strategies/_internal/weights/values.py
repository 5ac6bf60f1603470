"""Values of variables: copies of them, and many assigned at once."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_strategies._internal.types import Tensor


def host_value(variable: Any) -> np.ndarray:
    """Returns the value of a variable as a NumPy array of its own.

    What Keras returns is on Torch the memory of the tensor itself, which the next
    assignment changes.
    """
    return np.array(ops.convert_to_numpy(variable))


def host_values(variables: Iterable[Any]) -> list[np.ndarray]:
    """Returns the values as arrays that no later training step changes."""
    return [host_value(variable) for variable in variables]


def tensor_copy(variable: Any) -> Tensor:
    """Returns the value of a variable as a tensor of its own, also inside a step."""
    # Torch updates in place: the variable's own tensor would change with it.
    return ops.copy(ops.stop_gradient(ops.convert_to_tensor(variable)))


def assign_values(variables: Iterable[keras.Variable], values: Iterable[Any]) -> None:
    """Assigns to each variable its value."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
