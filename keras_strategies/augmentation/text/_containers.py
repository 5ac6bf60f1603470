"""Texts in lists, arrays and TensorFlow tensors."""

from collections.abc import Callable
from typing import Any

import numpy as np

from keras_strategies._internal import checks
from keras_strategies._internal.types import Tensor

_FIX = "Give a str, a list of str, a NumPy array or a tf.string tensor."


def _decode(text: str | bytes) -> str:
    text = text.decode("utf-8") if isinstance(text, bytes) else text
    if not isinstance(text, str):
        rule = "texts must be str"
        checks.fail(rule, fix=_FIX, error=TypeError, text=text)
    return str(text)


def is_tensor(texts: Any) -> bool:
    """Returns whether `texts` is a TensorFlow tensor, eager or symbolic."""
    return type(texts).__module__.partition(".")[0] == "tensorflow"


def as_list(texts: Any) -> list[str]:
    """Returns the texts as a flat list of `str`, in row-major order."""
    flat = texts.ravel() if isinstance(texts, np.ndarray) else texts
    return [_decode(text) for text in flat]


def to_container(
    result: list[str], texts: Any, shape: tuple[int, ...] | None = None
) -> Any:
    """Converts a list of `str` to the type of container of `texts`."""
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
    if not is_array and not isinstance(texts, list | tuple):
        kind = type(texts).__name__
        rule = "`texts` must be texts"
        checks.fail(rule, fix=_FIX, error=TypeError, texts=kind)
    return texts


def map_texts(function: Callable[[list[str]], list[str]], texts: Any) -> Any:
    """Applies a function of a list of `str` to texts in any container."""
    if isinstance(texts, str | bytes):
        return function([_decode(texts)])[0]
    if is_tensor(texts):
        return _map_tensor(function, texts)
    return to_container(function(as_list(checked(texts))), texts)


def _map_tensor(function: Callable[[list[str]], list[str]], texts: Any) -> Tensor:
    import tensorflow as tf

    def run(array: Any) -> Any:
        result = function(as_list(np.asarray(array, dtype=object)))
        encoded = np.empty(len(result), dtype=object)
        encoded[:] = [text.encode("utf-8") for text in result]
        return encoded.reshape(np.shape(array))

    changed = tf.numpy_function(run, [texts], tf.string)
    return tf.ensure_shape(changed, texts.shape)
