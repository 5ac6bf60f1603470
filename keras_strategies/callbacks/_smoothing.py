"""Label smoothing with a factor that is a tensor."""

import keras
from keras import ops


def smooth_categorical(y_true, smoothing):
    """`y * (1 - smoothing) + smoothing / classes` for one-hot targets."""
    classes = ops.cast(ops.shape(y_true)[-1], y_true.dtype)
    return y_true * (1.0 - smoothing) + smoothing / classes


def smooth_binary(y_true, smoothing):
    """`y * (1 - smoothing) + 0.5 * smoothing` for targets of 0 and 1."""
    return y_true * (1.0 - smoothing) + 0.5 * smoothing


def sparse_crossentropy(y_true, y_pred, smoothing, from_logits=False, axis=-1, **other):
    """Cross-entropy of smoothed classes that are given by number.

    The loss is linear in the targets: a mix of the loss of the class and that of the
    uniform distribution.
    """
    plain = keras.losses.sparse_categorical_crossentropy(
        y_true, y_pred, from_logits=from_logits, axis=axis, **other
    )
    uniform = ops.ones_like(y_pred) / ops.cast(ops.shape(y_pred)[axis], y_pred.dtype)
    flat = ops.categorical_crossentropy(
        uniform, y_pred, from_logits=from_logits, axis=axis
    )
    return (1.0 - smoothing) * plain + smoothing * flat


_BY_TARGET = {
    "categorical_crossentropy": smooth_categorical,
    "categorical_focal_crossentropy": smooth_categorical,
    "binary_crossentropy": smooth_binary,
    "binary_focal_crossentropy": smooth_binary,
}


def smoothed_function(function, smoothing):
    """`function` with smoothed targets; `None` if it knows no label smoothing.

    `smoothing()` gives the factor inside the training step.
    """
    name = getattr(function, "__name__", "")
    if getattr(keras.losses, name, None) is not function:
        return None
    if name == "sparse_categorical_crossentropy":
        return lambda y_true, y_pred, **arguments: sparse_crossentropy(
            y_true, y_pred, ops.cast(smoothing(), y_pred.dtype), **arguments
        )
    if name not in _BY_TARGET:
        return None

    def smoothed(y_true, y_pred, **arguments):
        y_pred = ops.convert_to_tensor(y_pred)
        factor = ops.cast(smoothing(), y_pred.dtype)
        y_true = _BY_TARGET[name](ops.cast(y_true, y_pred.dtype), factor)
        return function(y_true, y_pred, **{**arguments, "label_smoothing": 0.0})

    return smoothed
