"""What a plan remembers of the data that it was made for."""

import json

import keras
import numpy as np

from keras_strategies._internal.keras_private.launches import unpacked

_KINDS = {"f": "float", "i": "int", "u": "int", "b": "bool", "V": "float"}


def describe(data, source):
    """Structure, shape of a row and sort of number of `x` and `y`, for JSON.

    Sample weights may come and go, and so may the number of rows. `source` is
    `"arrays"` or `"batches"`.
    """

    def leaf(array):
        if array is None:
            return None
        dtype = keras.backend.standardize_dtype(array.dtype)
        sort = "V" if dtype == "bfloat16" else np.dtype(dtype).kind
        kind = _KINDS.get(sort, dtype)
        return f"{kind}{list(array.shape[1:])}"

    x, y, _ = unpacked(data)
    both = keras.tree.map_structure(leaf, {"x": x, "y": y})
    return {"source": source, **json.loads(json.dumps(both))}


def difference(planned, found):
    """What does not fit, as a clause for a message, or `None`."""
    if planned["source"] != found["source"]:
        return f"it was made for {planned['source']}, `fit` was given {found['source']}"
    for name in ("x", "y"):
        if planned[name] != found[name]:
            return (
                f"it was made for `{name}` of {planned[name]}, `fit` was given "
                f"{found[name]}"
            )
    return None
