"""Texts in lists, arrays and TensorFlow tensors."""

import numpy as np

from keras_strategies._internal import checks

_FIX = "Give a str, a list of str, a NumPy array or a tf.string tensor."


def _decode(text):
    text = text.decode("utf-8") if isinstance(text, bytes) else text
    if not isinstance(text, str):
        rule = "texts must be str"
        checks.fail(rule, fix=_FIX, error=TypeError, text=text)
    return str(text)


def is_tensor(texts):
    """Whether these are a tensor of TensorFlow, in a graph or not."""
    return type(texts).__module__.partition(".")[0] == "tensorflow"


def as_list(texts):
    """The texts as a flat list of `str`, read from left to right."""
    flat = texts.ravel() if isinstance(texts, np.ndarray) else texts
    return [_decode(text) for text in flat]


def like(result, texts, shape=None):
    """A list of `str` in the kind of container that `texts` are."""
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


def checked(texts):
    """Texts that are not a tensor, of a kind that is known."""
    is_array = isinstance(texts, np.ndarray) and texts.dtype.kind in "SUO"
    if not is_array and not isinstance(texts, list | tuple):
        kind = type(texts).__name__
        rule = "`texts` must be texts"
        checks.fail(rule, fix=_FIX, error=TypeError, texts=kind)
    return texts


def change_texts(change, texts):
    """`change` of a list of `str`, put back into the container of `texts`."""
    if isinstance(texts, str | bytes):
        return change([_decode(texts)])[0]
    if is_tensor(texts):
        return _change_tensor(change, texts)
    return like(change(as_list(checked(texts))), texts)


def _change_tensor(change, texts):
    import tensorflow as tf

    def run(array):
        result = change(as_list(np.asarray(array, dtype=object)))
        encoded = np.empty(len(result), dtype=object)
        encoded[:] = [text.encode("utf-8") for text in result]
        return encoded.reshape(np.shape(array))

    changed = tf.numpy_function(run, [texts], tf.string)
    return tf.ensure_shape(changed, texts.shape)
