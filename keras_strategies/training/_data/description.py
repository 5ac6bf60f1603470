"""Description of training data, stored in a plan and compared in `fit`."""

import json
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_strategies._internal.keras_private.step_blocks import unpacked

# NumPy's kinds of dtypes; bfloat16 has the kind "V" of unknown types.
_KINDS = {"f": "float", "i": "int", "u": "int", "b": "bool", "V": "float"}


def describe(data: Any, source: str) -> dict[str, Any]:
    """Returns structure, row shape and kind of number of `x` and `y`, for JSON.

    Sample weights and the number of rows are left out, as they may differ between
    fits. `source` is `"arrays"` or `"batches"`.
    """

    def leaf(array):
        if array is None:
            return None
        dtype = keras.backend.standardize_dtype(array.dtype)
        character = "V" if dtype == "bfloat16" else np.dtype(dtype).kind
        kind = _KINDS.get(character, dtype)
        return f"{kind}{list(array.shape[1:])}"

    x, y, _ = unpacked(data)
    both = keras.tree.map_structure(leaf, {"x": x, "y": y})
    return {"source": source, **json.loads(json.dumps(both))}


def difference(planned: Mapping[str, Any], received: Mapping[str, Any]) -> str | None:
    """Returns what differs, as a clause for a message, or `None`."""
    if planned["source"] != received["source"]:
        return (
            f"it was made for {planned['source']}, `fit` was given {received['source']}"
        )
    for name in ("x", "y"):
        if planned[name] != received[name]:
            return (
                f"it was made for `{name}` of {planned[name]}, `fit` was given "
                f"{received[name]}"
            )
    return None
