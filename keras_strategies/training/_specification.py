"""What a plan remembers of the data that it was made for."""

import json

import keras
import numpy as np

from keras_strategies._internal.keras_private.launches import unpacked

_KINDS = {"f": "float", "i": "int", "u": "int", "b": "bool", "V": "float"}


def describe(data):
    """Structure, shape of a row and sort of number of `x` and `y`, for JSON.

    Sample weights may come and go, and so may the number of rows.
    """

    def leaf(array):
        if array is None:
            return None
        kind = _KINDS.get(np.dtype(array.dtype).kind, str(array.dtype))
        return f"{kind}{list(array.shape[1:])}"

    x, y, _ = unpacked(data)
    both = {"x": x, "y": y}
    return json.loads(json.dumps(keras.tree.map_structure(leaf, both)))


def difference(planned, found):
    """What does not fit, as a clause for a message, or `None`."""
    for name in ("x", "y"):
        if planned[name] != found[name]:
            return (
                f"it was made for `{name}` of {planned[name]}, `fit` was given "
                f"{found[name]}"
            )
    return None
