"""Values that a variable of tf.distribute has on each replica.

Those of metrics are parts of a sum, and moving statistics of each replica its own; the
value that a variable is read as is the sum of the first, and the first of the others.
Nothing public of Keras has the parts. Keras 3.12 to 3.15.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_strategies._internal.keras_private.distribution.process_group import (
    active_group,
)


def local_parts(variable: keras.Variable) -> list[Any]:
    """The tensors of the replicas of this process, none without a strategy."""
    if keras.backend.backend() != "tensorflow":
        return []
    return list(getattr(variable._value, "values", None) or ())


def differing_parts(variables: Sequence[keras.Variable]) -> dict[int, np.ndarray]:
    """Values by replica, of all processes, of those variables whose replicas differ.

    In a group all processes must call it.

    Returns:
        Arrays with an axis for the replicas in front, by the index of the variable.
    """
    parts = [local_parts(variable) for variable in variables]
    arrays = {
        index: np.stack([np.asarray(value) for value in values])
        for index, values in enumerate(parts)
        if values
    }
    group = active_group()
    if group is not None and arrays:
        arrays = _gathered(arrays, group)
    return {
        index: array
        for index, array in arrays.items()
        # One that is a sum is not what it is assigned: TensorFlow divides that.
        if variables[index].synchronization == "on_read"
        or any(array[0].tobytes() != other.tobytes() for other in array[1:])
    }


def _gathered(arrays, group):
    """All in one exchange, as bytes: of most types alone nobody can gather them."""
    data = b"".join(array.tobytes() for array in arrays.values())
    words = np.frombuffer(data + b"\0" * (-len(data) % 4), "int32")
    rows = [row.tobytes() for row in group.gather(words)]
    result, begin = {}, 0
    for index, array in arrays.items():
        end = begin + array.nbytes
        pieces = [np.frombuffer(row[begin:end], array.dtype) for row in rows]
        result[index] = np.concatenate([p.reshape(array.shape) for p in pieces])
        begin = end
    return result


def assign_parts(variable: keras.Variable, values: np.ndarray) -> bool:
    """Gives each replica its value; returns whether there are as many replicas."""
    parts, group = local_parts(variable), active_group()
    rank, size = (0, 1) if group is None else (group.rank, group.size)
    if len(parts) * size != len(values):
        return False
    for index, part in enumerate(parts):
        part.assign(values[rank * len(parts) + index])
    return True


def replica_count(model: keras.Model) -> int:
    """How many devices share a batch of a model."""
    if keras.backend.backend() == "tensorflow":
        return int(model.distribute_strategy.num_replicas_in_sync)
    distribution = keras.distribution.distribution()
    return 1 if distribution is None else int(distribution.num_model_replicas)
