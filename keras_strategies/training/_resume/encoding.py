"""Nested plain values as JSON and arrays, without pickle."""

from typing import Any

import ml_dtypes
import numpy as np

from keras_strategies._internal import checks

# A dict with one of these keys stands for what JSON does not know.
_ARRAY, _SCALAR, _TUPLE, _ITEMS = "$array", "$scalar", "$tuple", "$items"


def encode(value: Any, arrays: dict[str, np.ndarray], path: str) -> Any:
    """Returns `value` as JSON knows it; its arrays go into `arrays`.

    Args:
        value: Numbers, text, booleans, `None`, NumPy's arrays and scalars, and lists,
            tuples and dicts of them.
        arrays: Receives the arrays, under keys that begin with `path`.
        path: What `value` is, for these keys and for the error.

    Raises:
        TypeError: If there is something else in it.
    """
    if isinstance(value, np.ndarray):
        return {_ARRAY: add_array(value, arrays, path)}
    if isinstance(value, np.generic):
        return {_SCALAR: add_array(np.asarray(value), arrays, path)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        entries = [encode(v, arrays, f"{path}/{i}") for i, v in enumerate(value)]
        return entries if isinstance(value, list) else {_TUPLE: entries}
    if isinstance(value, dict):
        items = [
            [encode(k, arrays, f"{path}/{i}k"), encode(v, arrays, f"{path}/{i}")]
            for i, (k, v) in enumerate(value.items())
        ]
        if all(isinstance(k, str) and not k.startswith("$") for k in value):
            return dict(items)
        return {_ITEMS: items}
    if hasattr(value, "__array__"):  # tensors and variables
        return encode(np.array(value), arrays, path)
    return checks.fail(
        f"`{path}` must be a plain value or an array to be written to a checkpoint",
        error=TypeError,
        value=type(value).__name__,
    )


def decode(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Undoes `encode`."""
    if isinstance(value, list):
        return [decode(entry, arrays) for entry in value]
    if not isinstance(value, dict):
        return value
    if _ARRAY in value:
        return array(value[_ARRAY], arrays)
    if _SCALAR in value:
        return array(value[_SCALAR], arrays)[()]
    if _TUPLE in value:
        return tuple(decode(entry, arrays) for entry in value[_TUPLE])
    if _ITEMS in value:
        pairs = [(decode(k, arrays), decode(v, arrays)) for k, v in value[_ITEMS]]
        return dict(pairs)
    return {key: decode(entry, arrays) for key, entry in value.items()}


def add_array(
    value: np.ndarray, arrays: dict[str, np.ndarray], key: str
) -> dict[str, str]:
    """Puts an array under `key`; returns its reference.

    NumPy writes bfloat16 and the 8-bit floats as bytes without a type: they go in as
    integers of their width.
    """
    dtype = value.dtype
    if dtype.hasobject:
        checks.fail(
            f"`{key}` must hold no Python objects", error=TypeError, dtype=str(dtype)
        )
    if dtype.kind == "V" or dtype.isbuiltin == 2:  # a type of another package
        if not hasattr(ml_dtypes, dtype.name):
            checks.fail(
                f"`{key}` has a type that cannot be written",
                error=TypeError,
                dtype=str(dtype),
            )
        value = (
            np.ascontiguousarray(value).view(f"u{dtype.itemsize}").reshape(value.shape)
        )
    arrays[key] = value
    return {"key": key, "dtype": dtype.name}


def array(reference: dict[str, str], arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Returns the array that a reference names."""
    value, name = arrays[reference["key"]], reference["dtype"]
    if value.dtype.name != name and hasattr(ml_dtypes, name):
        return value.view(getattr(ml_dtypes, name))
    return value
