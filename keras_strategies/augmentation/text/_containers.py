"""Texts in lists, arrays, pandas Series and TensorFlow tensors."""

from collections.abc import Callable
from typing import Any

import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.types import Tensor

_FIX = "Give a str, a list of str, a NumPy array, a Series or a tf.string tensor."


def _decode(text: str | bytes) -> str:
    text = text.decode("utf-8") if isinstance(text, bytes) else text
    if not isinstance(text, str):
        rule = "texts must be str"
        # What pandas reads from an empty field of a file.
        is_missing = text is None or text != text or type(text).__name__ == "NAType"
        fix = "Drop missing texts or fill them with ''." if is_missing else _FIX
        checks.fail(rule, fix=fix, error=TypeError, text=text)
    return str(text)


def is_tensor(texts: Any) -> bool:
    """Returns whether `texts` is a TensorFlow tensor, eager or symbolic."""
    return type(texts).__module__.partition(".")[0] == "tensorflow"


def is_series(texts: Any) -> bool:
    """Returns whether `texts` is a pandas Series."""
    kind = type(texts)
    return kind.__module__.partition(".")[0] == "pandas" and kind.__name__ == "Series"


def as_list(texts: Any) -> list[str]:
    """Returns the texts as a flat list of `str`, in row-major order."""
    flat = texts.ravel() if isinstance(texts, np.ndarray) else texts
    return [_decode(text) for text in flat]


def to_container(
    result: list[str], texts: Any, shape: tuple[int, ...] | None = None
) -> Any:
    """Converts a list of `str` to the type of container of `texts`."""
    if is_series(texts):
        index = texts.index.repeat(len(result) // max(len(texts), 1))
        return type(texts)(result, index=index, name=texts.name, dtype=texts.dtype)
    if not isinstance(texts, np.ndarray):
        return type(texts)(result) if isinstance(texts, list | tuple) else result
    shape = texts.shape if shape is None else shape
    if texts.dtype.kind == "S":
        return np.array([text.encode("utf-8") for text in result]).reshape(shape)
    if texts.dtype.kind == "U":
        return np.array(result, dtype=str).reshape(shape)
    array = np.empty(len(result), dtype=object)
    is_bytes = texts.size and isinstance(texts.flat[0], bytes)
    array[:] = [text.encode("utf-8") for text in result] if is_bytes else result
    return array.reshape(shape)


def checked(texts: Any) -> Any:
    """Checks texts that are no tensor."""
    is_array = isinstance(texts, np.ndarray) and texts.dtype.kind in "SUO"
    if not is_array and not isinstance(texts, list | tuple) and not is_series(texts):
        kind = type(texts).__name__
        rule = "`texts` must be texts"
        checks.fail(rule, fix=_FIX, error=TypeError, texts=kind)
    return texts


def map_texts(function: Callable[..., list[str]], texts: Any) -> Any:
    """Applies `function(list of str, in_pipeline)` to texts in any container."""
    if isinstance(texts, str | bytes):
        return function([_decode(texts)], False)[0]
    if is_tensor(texts):
        return _map_tensor(function, texts)
    return to_container(function(as_list(checked(texts)), False), texts)


def _map_tensor(function: Callable[..., list[str]], texts: Any) -> Tensor:
    import tensorflow as tf

    changed = tf.reshape(call_on_tensor(function, texts), tf.shape(texts))
    return tf.ensure_shape(changed, texts.shape)


def call_on_tensor(function: Callable[..., list[str]], texts: Any) -> Any:
    """Returns `function(list of str, in_pipeline)` of a tensor, as a flat tensor."""
    import tensorflow as tf

    in_pipeline = not tf.executing_eagerly()

    def run(array: Any) -> Any:
        result = function(as_list(np.asarray(array, dtype=object)), in_pipeline)
        encoded = np.empty(len(result), dtype=object)
        encoded[:] = [text.encode("utf-8") for text in result]
        return encoded

    return tf.numpy_function(run, [texts], tf.string)
